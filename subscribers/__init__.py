"""WHO may be mailed, and why."""
