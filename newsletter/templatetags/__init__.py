"""Template tags of the newsletter's pages."""
