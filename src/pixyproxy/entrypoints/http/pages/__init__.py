"""The page: HTML for people, made of the same use cases as the API."""
