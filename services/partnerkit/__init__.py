"""For partners: reference receivers in Python and TypeScript, and the conformance test of anybody's receiver."""
