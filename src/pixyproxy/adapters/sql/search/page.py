"""Searches for one page of images with a bounded amount of work, however many images there are."""

import time

from pixyproxy.adapters.sql.mapping import to_image
from pixyproxy.adapters.sql.search.audiences import audiences_of
from pixyproxy.adapters.sql.search.bounds import Bounds
from pixyproxy.adapters.sql.search.criteria import build, is_plain
from pixyproxy.adapters.sql.search.id_range import NEWEST, IdRange, id_ranges
from pixyproxy.adapters.sql.search.planner import Planner
from pixyproxy.adapters.sql.search.posting_list import fetch_statement
from pixyproxy.adapters.sql.search.prefix_terms import probe
from pixyproxy.adapters.sql.session import Session
from pixyproxy.domain.image import Image
from pixyproxy.domain.query import ImageQuery, Page


def search(session: Session, query: ImageQuery, bounds: Bounds) -> Page:
    """Return one page of matches; it may be short, or empty, and still be followed by others."""
    if is_plain(query):
        return _newest(session, query)
    audiences = audiences_of(query)
    terms = probe(session, query.terms, audiences, bounds)
    if any(term.is_absent for term in terms):
        return Page(())
    page = _PageReader(session, query, Planner(session, query, audiences, terms, bounds), bounds)
    for ids in id_ranges(session, query, audiences, bounds):
        if not page.read(ids):
            break
    return page.page()


def _newest(session: Session, query: ImageQuery) -> Page:
    """Return a page of the scope, which an index holds in order."""
    criteria = build(session, query, {}, ())
    before = NEWEST if query.before_id is None else query.before_id
    bounds = {"before": before, "floor": query.after_id or 0, "most": query.limit + 1, "rows": query.limit + 1}
    statement = fetch_statement(session, criteria.scope, [criteria.row])
    images = [to_image(row) for row in session.fetch(statement, {**criteria.parameters, **bounds})]
    return _page(images, query.limit, None)


def _page(images: list[Image], limit: int, before_id: int | None) -> Page:
    """Return the first images; the search goes on after the last, or at the given id if there are no more."""
    return Page(tuple(images[:limit]), images[limit - 1].id if len(images) > limit else before_id)


class _PageReader:
    """Reads batches until the page is full, there are no more matches, or the bounds are met."""

    def __init__(self, session: Session, query: ImageQuery, planner: Planner, bounds: Bounds) -> None:
        self._session = session
        self._limit = query.limit
        self._planner = planner
        self._bounds = bounds
        self._left = bounds.examined
        self._until = time.monotonic() + bounds.seconds
        self._images: list[Image] = []
        self._stopped_at: int | None = None

    def read(self, ids: IdRange) -> bool:
        """Add the matches among these ids; return whether all ids were read and the page still has room."""
        size = self._bounds.batch
        while True:
            plan = self._planner.plan(ids, min(size, self._left))
            missing = self._limit + 1 - len(self._images)
            statement = fetch_statement(self._session, plan.driving, plan.conditions)
            rows = self._session.fetch(statement, {**plan.parameters, "rows": missing})
            self._images += map(to_image, rows)
            self._left -= plan.examined
            if len(rows) == missing:
                return False
            if plan.is_last:
                return True
            if self._left <= 0 or time.monotonic() >= self._until:
                self._stopped_at = plan.floor + 1
                return False
            ids = ids._replace(before=plan.floor + 1)
            needed = self._needed
            # Resolving a prefix term takes about as long as examining the rest.
            is_resolved = needed > 2 * self._left and self._planner.resolve()
            size = self._bounds.batch if is_resolved else max(self._bounds.batch, needed * 5 // 4)

    @property
    def _needed(self) -> int:
        """The number of images that fill the page if they match as often as those examined so far."""
        examined = self._bounds.examined - self._left
        missing = self._limit + 1 - len(self._images)
        return missing * examined // max(1, len(self._images))

    def page(self) -> Page:
        """Return the page read so far."""
        return _page(self._images, self._limit, self._stopped_at)
