"""Breaking things on purpose: what is promised must hold all the same."""
