"""Searches page by page, each page with a bounded amount of work however many images there are."""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from pixyproxy.adapters.sql.mapping import IMAGE_COLUMNS, to_image
from pixyproxy.adapters.sql.search import id_range as dates
from pixyproxy.adapters.sql.search.bounds import GROWTH, Bounds
from pixyproxy.adapters.sql.search.criteria import (
    has_dates,
    is_led_by_word,
    is_plain,
    is_wide,
    scope_listing,
    scope_parameters,
)
from pixyproxy.adapters.sql.search.planner import Plan, Planner, Stage
from pixyproxy.adapters.sql.search.posting_list import MANY, Window, batch_of
from pixyproxy.adapters.sql.search.prefix_terms import Word, look_up
from pixyproxy.adapters.sql.session import Row, Session
from pixyproxy.domain.image import Image
from pixyproxy.domain.query import ImageQuery, Page, encode_cursor

_NEWEST = 2**63 - 1


def search(session: Session, query: ImageQuery, bounds: Bounds) -> Page:
    """One page of what the query finds."""
    if is_plain(query):
        return _list(session, query)
    before, floor, few_dates, is_rough = _before(query), 0, False, False
    words = look_up(session, query.terms, bounds, before if is_led_by_word(query) else None)
    if any(word.is_absent for word in words):
        return Page(())
    stages = []
    if has_dates(query):
        span = dates.span(session, query, bounds)
        few_dates = span.is_small
        if not few_dates:
            floor = span.floor
            if span.before < before:
                stages.append(Stage(before, max(floor, span.before), dates.stragglers(session)))
                before, is_rough = span.before, is_wide(query)
    stages.append(Stage(before, floor, is_rough=is_rough))
    return _Collector(session, query, words, bounds, few_dates=few_dates).page(stages)


class _Batch(NamedTuple):
    """How many ids were looked at, the lowest of which all above are done with, and whether it was the last."""

    examined: int
    lowest: int
    is_last: bool


class _Collector:
    """Gathers the matches for one page."""

    def __init__(
        self, session: Session, query: ImageQuery, words: Sequence[Word], bounds: Bounds, *, few_dates: bool
    ) -> None:
        self._session = session
        self._query = query
        self._planner = Planner(session, query, words, bounds, few_dates=few_dates)
        self._bounds = bounds
        self._left = bounds.examined
        self._until = time.monotonic() + bounds.seconds
        self._found: dict[int, Image] = {}

    @property
    def _missing(self) -> int:
        """How many more it takes to know that another page follows."""
        return self._query.limit + 1 - len(self._found)

    def page(self, stages: Sequence[Stage]) -> Page:
        """Look through the stages, until there is enough or it has been enough."""
        for stage in stages:
            stopped_at = self._look_through(stage)
            if stopped_at is not None or self._missing <= 0:
                break
        limit = self._query.limit
        ids = sorted(self._found, reverse=True)
        if len(ids) > limit:
            stopped_at = ids[limit - 1]
        images = tuple(self._found[image_id] for image_id in ids[:limit])
        return Page(images, None if stopped_at is None else encode_cursor(stopped_at))

    def _look_through(self, stage: Stage) -> int | None:
        """Add the matches, and return the lowest id that was looked at, None if no more are listed."""
        before, size = stage.before, max(self._bounds.batch, 3 * self._query.limit // 2)
        if stage.listing is not None or stage.is_rough:
            size *= GROWTH  # the least of what is out of order is of the time, and none of what was made just after it
        plan = self._planner.first(stage, self._missing)
        size = max(size, plan.size)
        while True:
            batch = self._read(plan, before, stage.floor, size)
            self._left -= batch.examined
            if batch.is_last and batch.lowest <= stage.floor + 1:
                return None
            before = batch.lowest
            if self._missing <= 0 or self._left <= 0 or time.monotonic() >= self._until:
                return before
            better = self._planner.better(plan, stage._replace(before=before), self._missing, self._needed, self._left)
            if better is None:
                return None
            plan = better
            size = self._next_size(size)

    def _read(self, plan: Plan, before: int, floor: int, size: int) -> _Batch:
        """Add the matches among the next ids above a floor."""
        window = plan.listing.window
        if window is not None:
            return self._read_window(plan, before, max(floor, window.floor(before, min(size, self._left))), window)
        most = max(1, min(size, self._left, self._bounds.merged_rows // len(plan.listing.parts)))
        examined, lowest, rows = self._matches(plan, before, floor, most)
        full_at = self._add(rows)
        if full_at is None and examined < most:
            return _Batch(examined, floor + 1, is_last=True)
        return _Batch(examined, full_at or lowest, is_last=False)

    def _read_window(self, plan: Plan, before: int, floor: int, window: Window) -> _Batch:
        """The same of the window above the floor, or of a narrower one where that holds too much."""
        most = self._bounds.merged_rows if window.is_counted else MANY
        while True:
            examined, _, rows = self._matches(plan, before, floor, most)
            width = window.width(before, floor)
            if examined < most or width <= 1:
                break
            floor += width - max(1, width // GROWTH)
        full_at = self._add(rows)
        looked_at = examined if window.is_counted else width // window.spread
        return _Batch(looked_at, full_at or floor + 1, is_last=full_at is None)

    def _matches(self, plan: Plan, before: int, floor: int, most: int) -> tuple[int, int, Sequence[Row]]:
        """How many ids were looked at, the lowest, and the newest matches, as many as there is room for."""
        is_counted = plan.listing.is_counted
        parameters = {**self._parameters(before, floor, most), "rows": self._missing + is_counted}
        row = self._planner.wanted.row
        columns, rest = batch_of(self._session, IMAGE_COLUMNS, plan.listing, plan.checks, row)
        rows = self._session.fetch_few(columns, rest, parameters)
        return (int(rows[0][0]), int(rows[0][1] or 0), rows[1:]) if is_counted else (0, 0, rows)

    def _add(self, rows: Sequence[Row]) -> int | None:
        """Add matches; the id of the last if there was no room for more."""
        full_at = int(rows[-1][1]) if len(rows) == self._missing else None
        self._found.update((row[1], to_image(row[2:])) for row in rows)
        return full_at

    def _next_size(self, size: int) -> int:
        """Enough to fill the page, were the next images as those so far, but not much more than the last time."""
        if not self._found:
            return size * GROWTH
        return max(self._bounds.batch, min(size * GROWTH, self._needed * 5 // 4))

    @property
    def _needed(self) -> int:
        """How many more it takes to fill the page, were the next images as those so far."""
        looked_at = self._bounds.examined - self._left
        return self._missing * looked_at // len(self._found) if self._found else 4 * self._bounds.examined

    def _parameters(self, before: int, floor: int, most: int) -> dict[str, Any]:
        return {**self._planner.wanted.parameters, "before": before, "floor": floor, "most": most}


def _list(session: Session, query: ImageQuery) -> Page:
    """A page of all that the viewer may see: an index has it in order, so that it is read in one go."""
    page = scope_listing(session, query).sql
    # By the key, even where the server takes the table for so small that it would rather read all of it.
    by_key = "images" + session.by_index("PRIMARY")
    join = f"{session.ordered_join} {by_key} ON images.id = page.id ORDER BY page.id DESC"
    bounds = {"before": _before(query), "floor": 0, "most": query.limit + 1}
    rest = " ".join(["FROM (", page, ") AS page", join])
    rows = session.fetch_few(IMAGE_COLUMNS, rest, scope_parameters(query) | bounds)
    images = [to_image(row) for row in rows]
    page_of = tuple(images[: query.limit])
    return Page(page_of, encode_cursor(page_of[-1].id) if len(images) > query.limit else None)


def _before(query: ImageQuery) -> int:
    return _NEWEST if query.before_id is None else query.before_id
