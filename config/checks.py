"""System checks: each names what is wrong and what to do about it."""
