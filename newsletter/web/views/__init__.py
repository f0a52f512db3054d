"""What readers see, and what a laptop shows of its mail."""
