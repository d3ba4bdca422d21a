"""Criteria: whether a disappearance is worrying, from the facts of its case, and appended whenever that changes."""
