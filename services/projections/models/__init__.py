"""Every read model: one file and its SQL each. The registry finds them; docs/projections.md shows how to add one."""
