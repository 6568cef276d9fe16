"""The tests of PixyProxy."""
