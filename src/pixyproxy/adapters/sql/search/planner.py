"""Decides what a search looks through and what it looks up about each image."""

from collections.abc import Sequence
from typing import NamedTuple

from pixyproxy.adapters.sql.search.bounds import GROWTH, Bounds
from pixyproxy.adapters.sql.search.criteria import Criterion, build, is_wide, scope_listing
from pixyproxy.adapters.sql.search.posting_list import Listing, rank_statement
from pixyproxy.adapters.sql.search.prefix_terms import Word, look_further
from pixyproxy.adapters.sql.session import Session
from pixyproxy.domain.query import ImageQuery


class Stage(NamedTuple):
    """The ids between two, all of them or those in a listing; `is_rough`: it begins with what is only near the time."""

    before: int
    floor: int
    listing: Listing | None = None
    is_rough: bool = False


class Plan(NamedTuple):
    """What to look through and what to check; `is_guess`: without having looked which listing is the shortest.

    `size`: how many ids will likely do.
    """

    listing: Listing
    checks: tuple[str, ...]
    is_guess: bool = False
    size: int = 0


class Planner:
    """Makes the plans for one search, and better ones once it turns out what they find."""

    def __init__(
        self, session: Session, query: ImageQuery, words: Sequence[Word], bounds: Bounds, *, few_dates: bool
    ) -> None:
        self._session = session
        self._query = query
        self._words = words
        self._bounds = bounds
        self._few_dates = few_dates
        self.wanted = build(session, query, words, few_dates=few_dates)

    def first(self, stage: Stage, missing: int) -> Plan:
        """What to begin with."""
        return self._guess(stage) or self._ranked(stage, missing)

    def better(self, plan: Plan, stage: Stage, missing: int, needed: int, left: int) -> Plan | None:
        """What to go on with after a batch that did not fill the page, None if there are no more matches.

        `missing`: how many matches it takes yet. `needed`: in how many ids these are, were the next as those so far.
        """
        if stage.listing is not None:
            return plan
        # To look further takes about as long as to look through what is left.
        if needed > 2 * left and any(word.is_open for word in self._words):
            self._words = look_further(self._session, self._words, self._bounds)
            if any(word.is_absent for word in self._words):
                return None
            self.wanted = build(self._session, self._query, self._words, few_dates=self._few_dates)
        elif not plan.is_guess or needed <= self._bounds.batch * GROWTH:
            return plan
        return self._ranked(stage, missing)

    def _guess(self, stage: Stage) -> Plan | None:
        """The plan where it is plain what to begin with: the one listing beside a list of nearly all."""
        listed = [criterion for criterion in self.wanted.criteria if criterion.listing is not None]
        if stage.listing is not None or len(listed) > 1 or not is_wide(self._query):
            return None
        if listed:
            plan = self._through(listed)._replace(is_guess=True)
            return plan._replace(size=2 * self._bounds.batch) if plan.checks else plan
        samples = [criterion for criterion in self.wanted.criteria if criterion.sample is not None]
        return self._through(samples) if samples else None

    def _ranked(self, stage: Stage, missing: int) -> Plan:
        """Every match is in all listings: the rarest is looked through, and the rest checked, the rarest first.

        It is the one whose first ids reach the furthest down: of as many that are looked at the most are matches.
        """
        if stage.listing is not None:
            return Plan(stage.listing, tuple(criterion.check for criterion in self.wanted.criteria if criterion.check))
        listed = [criterion for criterion in self.wanted.criteria if criterion.listing is not None]
        listed.append(self.wanted.scope)
        if len(listed) == 1:
            return self._through(listed)
        reached, dense = self._reached([criterion.listing for criterion in listed if criterion.listing], stage)
        order = sorted(reached, key=lambda position: reached[position])
        size = self._likely_size([reached[position] for position in order[1:]], stage, missing)
        ranked = [listed[position] for position in order]
        # Where most images may be seen, few rows are read in vain: what they say themselves needs no look-up before.
        if len(listed) - 1 in dense and ranked[0] is not self.wanted.scope:
            ranked.remove(self.wanted.scope)
        return self._through(ranked)._replace(size=size)

    def _through(self, listed: Sequence[Criterion]) -> Plan:
        """The plan that looks through the first."""
        first = listed[0]
        others = [*listed[1:], *(criterion for criterion in self.wanted.criteria if criterion.listing is None)]
        checks = tuple(criterion.check for criterion in others if criterion.check and criterion is not first)
        return Plan(first.listing or first.sample or scope_listing(self._session, self._query), checks)

    def _reached(self, listings: Sequence[Listing], stage: Stage) -> tuple[dict[int, int], set[int]]:
        """By position, the id that the first so many of each listing reach down to, 0 where it has fewer.

        And which of these are at least half of all ids between.
        """
        parts = sum(len(listing.parts) for listing in listings)
        most = max(1, min(self._bounds.batch, self._bounds.merged_rows // parts))
        windows = {i: listing.window for i, listing in enumerate(listings) if listing.window is not None}
        reached = {i: max(stage.floor, window.floor(stage.before, most)) for i, window in windows.items()}
        read = {i: listing for i, listing in enumerate(listings) if i not in windows}
        parameters = {**self.wanted.parameters, "before": stage.before, "floor": stage.floor, "most": most}
        dense = set()
        for position, count, lowest, highest in self._session.fetch(rank_statement(read), parameters):
            reached[position] = lowest if count == most else 0
            if count and highest - lowest < 2 * count:
                dense.add(position)
        return reached, dense

    def _likely_size(self, reached: Sequence[int], stage: Stage, missing: int) -> int:
        """How many ids fill the page, were it chance whether an image in one listing is in another."""
        newest = min(stage.before - 1, max((word.newest for word in self._words), default=0))
        size = missing * 5 / 4
        for lowest in reached:
            size *= max(1, (newest - lowest) / self._bounds.batch)
        return int(min(size, self._bounds.batch * GROWTH))
