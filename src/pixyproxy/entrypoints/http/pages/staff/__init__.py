"""The pages of teachers and administrators."""
