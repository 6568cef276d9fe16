"""Search: queries become criteria, criteria become posting lists, and a plan reads these batch by batch."""
