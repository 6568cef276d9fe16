"""Use cases around images: create, read, search, change and delete them."""
