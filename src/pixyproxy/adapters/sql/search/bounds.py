"""Limits on the work for one page of a search; none of them grows with the number of images."""

from typing import NamedTuple


class Bounds(NamedTuple):
    """Numbers of images, rows and statements for one page."""

    examined: int = 1000
    """Images that are examined before the page ends, full or not; the next page goes on from there."""
    seconds: float = 0.5
    """Time after which the page ends too: rows may be on a slow disk, and prompts may have thousands of words."""
    batch: int = 100
    """Images in the first batch; a further one holds as many as should fill the page, and at least these."""
    prefixes: int = 4
    """Prefix terms of a query that get a posting list, the longest first; others are only checked."""
    probe_rows: int = 1000
    """Index rows that one probe of a prefix reads; longer terms in fewer rows are read whole and sorted."""
    probes: int = 3
    """Statements that look for the terms of a prefix that has more rows than that."""
    merged_rows: int = 4096
    """Rows that are read to merge posting lists."""
    neighbours: int = 100
    """Rows that are read beyond a time bound to find an image whose id is in the order of time."""


DEFAULT = Bounds()
