"""A made-up paper to look around in: The Harbour Post of Port Ellis."""
