"""WHAT is sent, and what became of it."""
