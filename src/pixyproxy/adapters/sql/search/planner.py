"""The planner: decides for each batch which posting list drives it, and in which order its images are checked.

A search goes through five steps: the query's terms are probed (`prefix_terms`), the query becomes criteria (`criteria`)
and ranges of ids (`id_range`), each batch is planned here, and `page` fetches it and adds its matches to the page.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pixyproxy.adapters.sql.search.bounds import Bounds
from pixyproxy.adapters.sql.search.criteria import Criterion, build
from pixyproxy.adapters.sql.search.id_range import IdRange
from pixyproxy.adapters.sql.search.posting_list import PostingList, probe_statement
from pixyproxy.adapters.sql.search.prefix_terms import PrefixTerm, resolve
from pixyproxy.adapters.sql.session import Session
from pixyproxy.domain.query import ImageQuery

_NO_LIMIT = 2**31


class Plan(NamedTuple):
    """One batch: the images of the driving posting list above the id `floor`, and the conditions on each of them.

    `examined`: the number of these images. `is_last`: no images follow below the floor.
    """

    driving: PostingList
    conditions: tuple[str, ...]
    parameters: dict[str, Any]
    examined: int
    floor: int
    is_last: bool


class Planner:
    """Plans the batches of one search."""

    def __init__(
        self,
        session: Session,
        query: ImageQuery,
        audiences: Mapping[str, int],
        terms: Sequence[PrefixTerm],
        bounds: Bounds,
    ) -> None:
        self._session = session
        self._query = query
        self._audiences = audiences
        self._terms = list(terms)
        self._bounds = bounds
        self._criteria = build(session, query, audiences, terms)

    def plan(self, ids: IdRange, size: int) -> Plan:
        """Return the plan for at most this many of the newest images in a range of ids.

        Every match is in all posting lists. So the list whose newest ids reach the furthest down holds the fewest other
        images: it drives the batch, and the others are checked in the same order.
        """
        criteria = self._criteria
        candidates = [Criterion(ids.postings or criteria.scope, None)]
        if ids.postings is None:
            candidates += [each for each in criteria.filters if each.postings is not None]
        lists = [each.postings for each in candidates if each.postings is not None]
        reaches = self._probe(lists, ids, size)
        order = sorted(range(len(lists)), key=lambda position: reaches[position])
        others = [candidates[position] for position in order[1:]]
        others += [each for each in criteria.filters if each not in candidates]
        checks = [each.check for each in others if each.check is not None]
        floor, examined = reaches[order[0]]
        # The batch ends at the floor, not after a number of ids: the list may have become longer since the probe.
        parameters = {**criteria.parameters, "before": ids.before, "floor": floor, "most": _NO_LIMIT}
        return Plan(lists[order[0]], (*checks, criteria.row), parameters, examined, floor, is_last=floor <= ids.floor)

    def resolve(self) -> bool:
        """Look for the posting list of the longest prefix term that is open, and return whether there is a new one."""
        open_terms = [term for term in self._terms if term.is_open]
        if not open_terms:
            return False
        longest = max(open_terms, key=lambda term: len(term.prefix))
        resolved = resolve(self._session, longest, self._audiences, self._bounds)
        self._terms = [resolved if term is longest else term._replace(is_open=False) for term in self._terms]
        self._criteria = build(self._session, self._query, self._audiences, self._terms)
        return resolved.postings is not None

    def _probe(self, lists: Sequence[PostingList], ids: IdRange, size: int) -> list[tuple[int, int]]:
        """Return the floor below the newest ids of each list, and the number of these ids."""
        parts = sum(len(postings.parts) for postings in lists)
        most = max(1, min(size, self._bounds.merged_rows // parts))
        parameters = {**self._criteria.parameters, "before": ids.before, "floor": ids.floor, "most": most}
        found = {i: (count, lowest) for i, count, lowest in self._session.fetch(probe_statement(lists), parameters)}
        counts = [found[position] for position in range(len(lists))]
        return [(lowest - 1 if count == most else ids.floor, count) for count, lowest in counts]
