"""The reader's pages: front page, article, archive."""
