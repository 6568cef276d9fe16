"""Estimates of how soon passwords are guessed, with the library zxcvbn."""
