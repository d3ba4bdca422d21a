"""Read models: what happened, as lists and reports, built from the topics and rebuilt at will."""
