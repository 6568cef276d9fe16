"""The outside world behind the ports: one package per technology, independent of each other."""
