"""Kinds of queries for `many_images`: each filter, and those that people combine, on first and on deep pages."""

from typing import Any

from pixyproxy.domain.image import Visibility
from pixyproxy.domain.query import ImageQuery
from tests.fakes.many_images import AUTHORS, DAWN, DUSK, INTERVAL, TAGS, WORDS, created_at

COMMON, ALSO_COMMON, LESS_COMMON, RARE = WORDS[3], WORDS[4], WORDS[200], WORDS[3000]


def shapes(count: int, limit: int = 50) -> dict[str, ImageQuery]:
    """A query of each kind where there are so many images, of which a small number may hold few that match."""
    middle = created_at(count // 2)
    week = {"created_after": middle, "created_before": middle + count * INTERVAL / 50}
    author, viewer = AUTHORS[3], AUTHORS[5]
    filters: dict[str, dict[str, Any]] = {
        "list": {},
        "list, with own private": {"viewer": viewer},
        "private": {"viewer": viewer, "visibility": Visibility.PRIVATE},
        "author": {"author": author},
        "rare author": {"author": AUTHORS[500]},
        "tag": {"tags": (TAGS[0],)},
        "rare tag": {"tags": (TAGS[700],)},
        "common word": {"terms": (COMMON,)},
        "rare word": {"terms": (RARE,)},
        "one letter": {"terms": ("b",)},
        "two letters": {"terms": ("ba",)},
        "three letters": {"terms": ("bad",)},
        "made after": {"created_after": middle},
        "made before": {"created_before": middle},
        "made within 2 %": week,
        "file name": {"filename": COMMON},
        "file name of none": {"filename": "no such name"},
        "two common words": {"terms": (COMMON, ALSO_COMMON)},
        "common word + less common": {"terms": (COMMON, LESS_COMMON)},
        "common word + rare": {"terms": (COMMON, RARE)},
        "two words that never meet": {"terms": (DAWN, DUSK)},
        "common word + tag": {"terms": (COMMON,), "tags": (TAGS[1],)},
        "common word + rare tag": {"terms": (COMMON,), "tags": (TAGS[700],)},
        "common word + author": {"terms": (COMMON,), "author": author},
        "common word + time": {"terms": (COMMON,), **week},
        "common word + file name": {"terms": (COMMON,), "filename": ALSO_COMMON},
        "one letter + tag": {"terms": ("b",), "tags": (TAGS[50],)},
        "two tags": {"tags": (TAGS[1], TAGS[2])},
        "tag + author": {"tags": (TAGS[0],), "author": author},
        "tag + time": {"tags": (TAGS[0],), **week},
        "author + made before": {"author": author, "created_before": middle},
        "author + time": {"author": author, **week},
    }
    found = {name: ImageQuery(limit=limit, **values) for name, values in filters.items()}
    deep = ("list", "tag", "common word", "two common words", "two words that never meet", "author")
    for name in deep:
        found[f"{name}, deep"] = ImageQuery(limit=limit, before_id=count // 2, **filters[name])
    return found
