"""The blob store and the thumbnail store in a folder of the file system."""
