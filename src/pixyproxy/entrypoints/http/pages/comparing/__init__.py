"""The page that shows two pictures side by side."""
