"""Entities, value objects, rules and the error tree: standard library only, no I/O and no clock."""
