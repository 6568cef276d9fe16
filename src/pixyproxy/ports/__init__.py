"""What the core needs from outside, as abstract base classes whose docstrings are the contract."""
