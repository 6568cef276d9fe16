"""Looking at pictures with Pillow."""
