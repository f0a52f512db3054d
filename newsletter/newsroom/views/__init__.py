"""The newsroom's pages, a module for each noun."""
