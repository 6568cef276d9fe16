"""Sweeps: the comparison of all stored files with all rows, whole or part by part."""
