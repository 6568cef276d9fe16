"""Commands that move pictures between stores."""
