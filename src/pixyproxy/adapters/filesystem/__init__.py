"""The blob store in a folder."""
