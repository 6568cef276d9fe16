"""Tests that inject faults: the promise must hold all the same."""
