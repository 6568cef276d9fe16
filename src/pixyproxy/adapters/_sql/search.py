"""Searches page by page, each page with a bounded amount of work however many images there are."""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from pixyproxy.adapters._sql import dates
from pixyproxy.adapters._sql.bounds import Bounds
from pixyproxy.adapters._sql.image_query import Search, build, has_dates, is_plain, scope_listing, scope_parameters
from pixyproxy.adapters._sql.listing import Listing, batch_statement, rank_statement
from pixyproxy.adapters._sql.mapping import IMAGE_COLUMNS, SELECT_IMAGE, to_image
from pixyproxy.adapters._sql.session import Session
from pixyproxy.adapters._sql.words import look_up
from pixyproxy.domain.access import can_see, is_author
from pixyproxy.domain.image import Image, Status
from pixyproxy.domain.query import ImageQuery, Page, encode_cursor

_NEWEST = 2**63 - 1
_GROWTH = 4
"""A batch is at most so many times as large as the one before."""


def search(session: Session, query: ImageQuery, bounds: Bounds) -> Page:
    """One page of what the query finds."""
    if is_plain(query):
        return _list(session, query)
    words = look_up(session, query.terms, bounds)
    if any(word.is_absent for word in words):
        return Page(())
    before, floor, few_dates = _before(query), 0, False
    stages = []
    if has_dates(query):
        span = dates.span(session, query, bounds)
        few_dates = span.is_small
        if not few_dates:
            floor = span.floor
            if span.before < before:
                stages.append(_Stage(before, max(floor, span.before), dates.stragglers(session)))
                before = span.before
    stages.append(_Stage(before, floor))
    wanted = build(session, query, words, few_dates=few_dates)
    return _Collector(session, query, wanted, bounds).page(stages)


class _Stage(NamedTuple):
    """The ids between two, all of them or those in a listing."""

    before: int
    floor: int
    listing: Listing | None = None


class _Collector:
    """Gathers the matches for one page."""

    def __init__(self, session: Session, query: ImageQuery, wanted: Search, bounds: Bounds) -> None:
        self._session = session
        self._query = query
        self._wanted = wanted
        self._bounds = bounds
        self._left = bounds.examined
        self._until = time.monotonic() + bounds.seconds
        self._found: set[int] = set()

    def page(self, stages: Sequence[_Stage]) -> Page:
        """Look through the stages, until there is enough or it has been enough."""
        for stage in stages:
            stopped_at = self._look_through(stage)
            if stopped_at is not None or len(self._found) > self._query.limit:
                break
        limit = self._query.limit
        ids = sorted(self._found, reverse=True)
        if len(ids) > limit:
            stopped_at = ids[limit - 1]
        images = _fetch(self._session, self._query, ids[:limit])
        return Page(images, None if stopped_at is None else encode_cursor(stopped_at))

    def _look_through(self, stage: _Stage) -> int | None:
        """Add the matches, and return the lowest id that was looked at, None if no more are listed."""
        before, size = stage.before, max(self._bounds.batch, 2 * self._query.limit + 2)
        listing, checks = self._plan(stage)
        statement = batch_statement(listing, checks)
        while True:
            most = max(1, min(size, self._left, self._bounds.merged_rows // len(listing.parts)))
            rows = self._session.fetch(statement, self._parameters(before, stage.floor, most))
            ((examined, lowest),) = [row for row in rows if row[0] >= 0]
            self._found.update(image_id for mark, image_id in rows if mark < 0)
            self._left -= examined
            if examined < most:
                return None
            if len(self._found) > self._query.limit or self._left <= 0 or time.monotonic() >= self._until:
                return int(lowest)
            before = lowest
            size = self._next_size(size)

    def _next_size(self, size: int) -> int:
        """Enough to fill the page, were the next images as those so far, but not much more than the last time."""
        if not self._found:
            return size * _GROWTH
        examined, missing = self._bounds.examined - self._left, self._query.limit + 1 - len(self._found)
        return max(self._bounds.batch, min(size * _GROWTH, missing * examined * 5 // (4 * len(self._found))))

    def _plan(self, stage: _Stage) -> tuple[Listing, list[str]]:
        """What to look through, and what to check, the rarest first.

        Every match is in all listings. In the rarest, whose first ids reach the furthest down, the most of as many
        that are looked at are matches.
        """
        criteria = self._wanted.criteria
        if stage.listing is not None:
            return stage.listing, [check for check, _ in criteria]
        listed = [(listing, check) for check, listing in criteria if listing is not None]
        if len(listed) > 1:
            reached = self._reached([listing for listing, _ in listed], stage)
            listed = [listed[position] for position in sorted(reached, key=lambda position: reached[position])]
        unlisted = [check for check, listing in criteria if listing is None]
        return listed[0][0], [check for _, check in listed[1:]] + unlisted

    def _reached(self, listings: Sequence[Listing], stage: _Stage) -> dict[int, int]:
        """By position, the id that the first so many of each listing reach down to, 0 where it has fewer."""
        parts = sum(len(listing.parts) for listing in listings)
        most = max(1, min(self._bounds.batch, self._bounds.merged_rows // parts))
        rows = self._session.fetch(rank_statement(listings), self._parameters(stage.before, stage.floor, most))
        return {position: lowest if count == most else 0 for position, count, lowest in rows}

    def _parameters(self, before: int, floor: int, most: int) -> dict[str, Any]:
        return {**self._wanted.parameters, "before": before, "floor": floor, "most": most}


def _list(session: Session, query: ImageQuery) -> Page:
    """A page of all that the viewer may see: an index has it in order, so that it is read in one go."""
    page = scope_listing(session, query).sql
    join = f"{session.ordered_join} images ON images.id = page.id ORDER BY page.id DESC"
    sql = " ".join(["SELECT", IMAGE_COLUMNS, "FROM (", page, ") AS page", join])
    bounds = {"before": _before(query), "floor": 0, "most": query.limit + 1}
    images = [to_image(row) for row in session.fetch(sql, scope_parameters(query) | bounds)]
    page_of = tuple(images[: query.limit])
    return Page(page_of, encode_cursor(page_of[-1].id) if len(images) > query.limit else None)


def _before(query: ImageQuery) -> int:
    return _NEWEST if query.before_id is None else query.before_id


def _fetch(session: Session, query: ImageQuery, ids: Sequence[int]) -> tuple[Image, ...]:
    """The images with these ids that the viewer may still see: since they were found they may have changed."""
    if not ids:
        return ()
    sql = " ".join([SELECT_IMAGE, "WHERE images.id IN (", ", ".join(map(str, ids)), ") ORDER BY images.id DESC"])
    return tuple(image for row in session.fetch(sql, {}) if _may_show(image := to_image(row), query))


def _may_show(image: Image, query: ImageQuery) -> bool:
    is_visible = can_see(image, query.viewer) if query.status is Status.READY else is_author(image, query.viewer)
    return is_visible and image.status is query.status and query.visibility in {None, image.visibility}
