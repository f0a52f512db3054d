"""Article to web page, email and plain text: compiled once per version."""
