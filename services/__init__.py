"""The running parts."""
