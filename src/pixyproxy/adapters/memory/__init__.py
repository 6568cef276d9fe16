"""Everything in memory: for tests, and for trying things out; nothing outlives the process."""
