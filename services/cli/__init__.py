"""The command `zoeklicht`: composition of everything on one machine."""
