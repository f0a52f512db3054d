"""Where providers report what became of our mail."""
