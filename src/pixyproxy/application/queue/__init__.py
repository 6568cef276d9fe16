"""The queue of calls that wait for their turn at the generator."""
