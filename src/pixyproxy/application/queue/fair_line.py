"""A line of turns in which the party with the fewest recent pictures is next, its oldest request first."""

import heapq
import sys
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from pixyproxy.application.queue.turn import Turn


class Load(NamedTuple):
    """The pictures that a party has had lately, and the number of its last turn: lower for one that is sooner."""

    pictures: int
    last_turn: int


NO_LOAD = Load(0, 0)
_SLACK = 64
"""Entries that are no longer valid and may stay in the heap."""


class FairLine:
    """The turns that wait for one model; after a turn has left, its party is to be refreshed.

    A heap holds one valid entry for each party: its load and the age of its oldest turn. An entry that is no longer
    valid is dropped when it comes to the front, so that every step costs the logarithm of the line's length.
    """

    def __init__(self, load_of: Callable[[str], Load | None]) -> None:
        """`load_of` returns the load of a party, or None if it has to wait."""
        self._load_of = load_of
        self._turns: dict[str, list[tuple[datetime, int, Turn]]] = {}
        self._heap: list[tuple[Load, tuple[datetime, int], int, str]] = []
        self._versions: dict[str, int] = {}
        self._changes = 0

    def add(self, turn: Turn) -> None:
        """Add a turn that waits; it leaves the line once it does not wait any more."""
        heapq.heappush(self._turns.setdefault(turn.party, []), (*turn.age, turn))
        self.refresh(turn.party)

    def refresh(self, party: str) -> None:
        """Take notice of another load of a party, or of another oldest turn."""
        own = self._turns.get(party)
        while own and not own[0][-1].is_waiting:
            heapq.heappop(own)
        self._changes += 1
        self._versions[party] = self._changes
        if not own:
            self._turns.pop(party, None)
            self._versions.pop(party, None)
        elif (load := self._load_of(party)) is not None:
            heapq.heappush(self._heap, (load, own[0][-1].age, self._changes, party))
            if len(self._heap) > 2 * len(self._turns) + _SLACK:
                self._heap = [entry for entry in self._heap if self._versions.get(entry[-1]) == entry[-2]]
                heapq.heapify(self._heap)

    def head(self) -> Turn | None:
        """Return the turn that is next, or None if none may come."""
        while self._heap:
            _, _, version, party = self._heap[0]
            if self._versions.get(party) != version:
                heapq.heappop(self._heap)
            elif not (turn := self._turns[party][0][-1]).is_waiting:
                self.refresh(party)
            else:
                return turn
        return None

    def rank(self, turn: Turn) -> tuple[Load, tuple[datetime, int]]:
        """Return the load and the age of the front of the line, as `head` compares them."""
        return self._load_of(turn.party) or NO_LOAD, turn.age

    @property
    def is_empty(self) -> bool:
        """Return whether no turn waits here."""
        return not self._turns

    def in_order(self) -> list[Turn]:
        """Return all turns in the order in which they come if nothing changes."""
        ranked = []
        for party, own in self._turns.items():
            load = self._load_of(party) or NO_LOAD
            for since, number, turn in sorted(own, key=lambda entry: entry[:2]):
                if turn.is_waiting:
                    ranked.append((load, since, number, turn))
                    load = Load(load.pictures + turn.pictures, sys.maxsize)
        return [turn for *_, turn in sorted(ranked, key=lambda entry: entry[:3])]
