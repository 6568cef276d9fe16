"""Ports: abstract base classes for everything that the core needs from outside; their docstrings are the contract."""
