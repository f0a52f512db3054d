"""What comes back: reports of providers and of mail servers, and readers who leave by mail."""
