"""Volunteers: who helps, when, and where; who is called out, what they answer, and what hangs where until it is removed."""
