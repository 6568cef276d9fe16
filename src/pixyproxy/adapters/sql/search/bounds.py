"""How much work one page of a search may be."""

from typing import NamedTuple

GROWTH = 4
"""A batch is at most so many times as large as the one before."""


class Bounds(NamedTuple):
    """Numbers of rows and steps that do not grow with the number of images."""

    examined: int = 1000
    """Images that are looked at for one page; it goes on at its cursor after so many."""
    seconds: float = 0.5
    """After so long too, where each image takes long to look at: rows on a slow disk, prompts of thousands of words."""
    batch: int = 80
    """Images that are looked at first, and at least each further time."""
    words: int = 4
    """Words of a query whose terms are looked up, the longest first; the others are checked only."""
    terms: int = 64
    """Terms that begin with a word up to which their listings are merged."""
    windows: int = 8
    """Steps in which the terms that begin with a word are looked up."""
    window: int = 100
    """Rows that are read at each place in each of these."""
    newest: int = 400
    """Rows of the newest images, a few dozen, in which a word is looked for: where it is not, it may be a rare one."""
    sorted_rows: int = 4000
    """Rows that are read whole to sort them by id, where no index does."""
    dated_rows: int = 1000
    """The same of a time: what is made in a longer one lies together anyway."""
    merged_rows: int = 4096
    """Rows that are read to merge the listings of several terms."""
    neighbours: int = 100
    """Rows that are read beyond the bounds of a time, to find one that is in order."""


DEFAULT = Bounds()
