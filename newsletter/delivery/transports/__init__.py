"""How mail leaves: a transport takes readers and gives outcomes."""
