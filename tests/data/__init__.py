"""Source pictures of the tests: computed, never committed, the same on every machine."""
