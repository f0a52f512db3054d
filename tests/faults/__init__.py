"""Everything that may break while a campaign is sent, broken on purpose, and who got what then."""
