"""Searches: the planner and the statements that it chooses from."""
