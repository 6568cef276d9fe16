"""Bounds so tight that a few dozen images show what happens beyond each of them."""

from pixyproxy.adapters._sql.bounds import Bounds

TIGHT = Bounds(
    examined=7,
    batch=2,
    words=2,
    terms=2,
    windows=4,
    window=4,
    newest=3,
    sorted_rows=5,
    dated_rows=4,
    merged_rows=6,
    neighbours=2,
)
