"""Finds which terms begin with the words of a query, in a bounded number of steps however many there are."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pixyproxy.adapters._sql.bounds import Bounds
from pixyproxy.adapters._sql.session import Session

# A range instead of LIKE: nothing to escape, and every server reads it from the index.
IS_PREFIXED = "term >= :{name} AND term < :{name}_end"
_LAST = "\U0010ffff"
_LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz{"
_ALONE = 2
"""So many windows are read one after the other before the letters are told apart."""


class Word(NamedTuple):
    """A word of a query and the terms that begin with it, if these are few.

    `is_small`: so few rows have one of these terms that they can be read and sorted. `is_absent`: none has.
    """

    name: str
    prefix: str
    terms: tuple[str, ...] = ()
    is_small: bool = False
    is_absent: bool = False

    @property
    def parameters(self) -> dict[str, Any]:
        """The range of the terms."""
        return {self.name: self.prefix, f"{self.name}_end": self.prefix + _LAST}


def look_up(session: Session, prefixes: Sequence[str], bounds: Bounds) -> list[Word]:
    """The words that begin so; of those for whom the bounds leave no time nothing is known, which is no error."""
    words = [Word(f"word_{i}", prefix) for i, prefix in enumerate(prefixes)]
    longest = sorted(words, key=lambda word: -len(word.prefix))[: bounds.words]
    known = {word.name: word for word in _with_terms(session, longest, bounds)}
    return [known.get(word.name, word) for word in words]


def _with_terms(session: Session, words: Sequence[Word], bounds: Bounds) -> list[Word]:
    """Walk along the terms of all words together, a window of rows each time.

    A common term takes a window for itself. Where several do, the walk goes on from each next letter at once.
    """
    terms: dict[str, set[str]] = {word.name: set() for word in words}
    walks = [_Walk(word, word.prefix, is_new=True, end=word.prefix + _LAST) for word in words]
    for step in range(bounds.windows):
        if step == _ALONE:
            walks = [part for walk in walks for part in walk.by_letter()]
        rows = session.fetch(*_windows_statement(session, walks, bounds)) if walks else ()
        seen, last = [0] * len(walks), [""] * len(walks)
        for position, term, count in rows:
            terms[walks[position].word.name].add(term)
            seen[position] += count
            last[position] = max(last[position], term)
        going_on = [i for i, walk in enumerate(walks) if seen[i] == bounds.window and not _is_full(terms, walk, bounds)]
        walks = [walks[i]._replace(start=last[i], is_new=False) for i in going_on]
    unfinished = {walk.word.name for walk in walks}
    done, many = [], []
    for word in words:
        found = terms[word.name]
        if word.name in unfinished or len(found) > bounds.terms:
            many.append(word)
        else:
            done.append(word._replace(terms=tuple(sorted(found)), is_absent=not found))
    return done + _with_size(session, many, bounds)


class _Walk(NamedTuple):
    """The part of the terms of a word that is still to be walked along, with its start if that is new."""

    word: Word
    start: str
    is_new: bool
    end: str

    def by_letter(self) -> Iterator["_Walk"]:
        """The same part in pieces, one for each common letter that may follow the word, and what lies between."""
        start, is_new = self.start, self.is_new
        for letter in _LETTERS:
            end = self.word.prefix + letter
            if start < end < self.end:
                yield _Walk(self.word, start, is_new, end)
                start, is_new = end, True
        yield _Walk(self.word, start, is_new, self.end)


def _is_full(terms: Mapping[str, Collection[str]], walk: _Walk, bounds: Bounds) -> bool:
    return len(terms[walk.word.name]) > bounds.terms


def _windows_statement(session: Session, walks: Sequence[_Walk], bounds: Bounds) -> tuple[str, dict[str, Any]]:
    """The statement that counts the terms in the next rows of each walk, by position."""
    windows = []
    parameters: dict[str, Any] = {"window": bounds.window}
    table = "image_terms" + session.by_index("PRIMARY")
    for i, walk in enumerate(walks):
        parameters |= {f"start_{i}": walk.start, f"stop_{i}": walk.end}
        condition = f"term {'>=' if walk.is_new else '>'} :start_{i} AND term < :stop_{i}"
        rows = " ".join(["SELECT term FROM", table, "WHERE", condition, "ORDER BY term LIMIT :window"])
        windows.append(" ".join(["SELECT", str(i), ", term, COUNT(*) FROM (", rows, f") AS window_{i} GROUP BY term"]))
    return " UNION ALL ".join(windows), parameters


def _with_size(session: Session, words: Sequence[Word], bounds: Bounds) -> list[Word]:
    """The words, which have many terms, and whether all of these together are in few rows."""
    if not words:
        return []
    counts = []
    parameters: dict[str, Any] = {"enough": bounds.sorted_rows + 1}
    table = "image_terms" + session.by_index("PRIMARY")
    for i, word in enumerate(words):
        parameters |= word.parameters
        rows = " ".join(["SELECT 1 FROM", table, "WHERE", IS_PREFIXED.format(name=word.name), "LIMIT :enough"])
        counts.append(" ".join(["SELECT", str(i), ", COUNT(*) FROM (", rows, f") AS count_{i}"]))
    sizes = {position: int(count) for position, count in session.fetch(" UNION ALL ".join(counts), parameters)}
    return [word._replace(is_small=sizes[i] <= bounds.sorted_rows) for i, word in enumerate(words)]
