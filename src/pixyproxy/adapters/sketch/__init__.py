"""The offline generator that draws sketches."""
