"""The annual report as one prints it: the same figures as in the other formats, in four languages, with charts."""
