"""Finds which terms begin with the words of a query, in a bounded number of steps however many there are."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pixyproxy.adapters._sql.bounds import Bounds
from pixyproxy.adapters._sql.session import Row, Session

# Ranges instead of LIKE: nothing to escape, and every server reads them from the index.
IS_PREFIXED = "term >= :{name} AND term < :{name}_end"
GOES_ON = "term > :{name} AND term < :{name}_end"
_LAST = "\U0010ffff"
_OLDEST, _NEWEST, _AMONG_NEWEST = -1, -2, -3
_LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz{"


class Word(NamedTuple):
    """A word of a query and the terms that begin with it.

    `is_known`: these are all terms. `is_open`: there are more than a glance shows. `is_absent`: there are none.
    `seems_rare`: it is open, but none of the newest images has it. `is_many`: they are in too many rows to sort them.
    `longer`: how many rows have a term longer than the word, where they are so few that they can be read and sorted.
    `oldest` and `newest`: the lowest and the highest id of all images.
    """

    name: str
    prefix: str
    terms: tuple[str, ...] = ()
    is_known: bool = False
    is_open: bool = False
    is_absent: bool = False
    seems_rare: bool = False
    is_many: bool = False
    longer: int | None = None
    oldest: int = 0
    newest: int = 0

    @property
    def is_term(self) -> bool:
        """Whether the word itself is one of them."""
        return self.prefix in self.terms

    @property
    def parameters(self) -> dict[str, Any]:
        """The range of the terms."""
        return {self.name: self.prefix, f"{self.name}_end": self.prefix + _LAST}


def look_up(session: Session, prefixes: Sequence[str], bounds: Bounds, newest_below: int | None = None) -> list[Word]:
    """The words that begin so, with what one glance shows of each.

    Given an id, a single word is looked for among the newest images below it, too. Of those for whom the bounds leave
    no time nothing is known, which is no error.
    """
    words = [Word(f"word_{i}", prefix) for i, prefix in enumerate(prefixes)]
    longest = sorted(words, key=lambda word: -len(word.prefix))[: bounds.words]
    known = {word.name: word for word in _glance(session, longest, bounds, newest_below)}
    return [known.get(word.name, word) for word in words]


def count_rare(session: Session, words: Sequence[Word], bounds: Bounds) -> list[Word]:
    """The words, of which those that seem rare are known if they are; the others of these do not seem so any more."""
    known = {word.name: word for word in _count(session, [word for word in words if word.seems_rare], bounds)}
    return [known.get(word.name, word) for word in words]


def look_further(session: Session, words: Sequence[Word], bounds: Bounds) -> list[Word]:
    """The words, of which those that are open are looked into as far as the bounds allow; none is open any more."""
    uncounted = [word for word in words if word.is_open and not word.is_many]
    known = {word.name: word for word in _count(session, uncounted, bounds)}
    counted = [known.get(word.name, word) for word in words]
    walked = {word.name: word for word in _walk(session, [word for word in counted if word.is_many], bounds)}
    return [walked.get(word.name, word)._replace(is_open=False) for word in counted]


def _glance(session: Session, words: Sequence[Word], bounds: Bounds, newest_below: int | None) -> list[Word]:
    """Look whether the word is a term, and at a window of what follows: the rows of a common term would fill it."""
    if not words:
        return []
    # One each: SQLite would read all images for both at once.
    parts = ["SELECT -1, NULL, MIN(id) FROM images", "SELECT -2, NULL, MAX(id) FROM images"]
    parameters: dict[str, Any] = {"window": bounds.window}
    table = "image_terms" + session.by_index("PRIMARY")
    for i, word in enumerate(words):
        parameters |= word.parameters
        whole = f"FROM {table} WHERE term = :{word.name} LIMIT 1"
        parts.append(" ".join(["SELECT", str(i), ", (SELECT term", whole, "), 0"]))
        parts.append(_counted(table, i, GOES_ON.format(name=word.name), "window"))
    asks = newest_below is not None and len(words) == 1
    if asks:
        parameters |= {"newest_below": newest_below, "newest": bounds.newest, "others": bounds.window - 1}
        parts.append(_among_newest(session, words[0]))
    ends = {_OLDEST: 0, _NEWEST: 0, _AMONG_NEWEST: 0}
    found = [dict[str, int]() for _ in words]
    for i, term, count in session.fetch(" UNION ALL ".join(parts), parameters):
        if i < 0:
            ends[i] = int(count or 0)
        elif term is not None:
            found[i][term] = int(count)
    is_rare = asks and not ends[_AMONG_NEWEST]
    words = [word._replace(oldest=ends[_OLDEST], newest=ends[_NEWEST], seems_rare=is_rare) for word in words]
    return [_seen(word, terms, bounds.window) for word, terms in zip(words, found, strict=True)]


def _among_newest(session: Session, word: Word) -> str:
    """The statement that looks for the word in the first rows of the newest images if it fills the window."""
    table = "image_terms" + session.by_index("image_terms_image")
    order = "ORDER BY image_id DESC, term DESC LIMIT :newest"
    rows = " ".join(["SELECT term FROM", table, "WHERE image_id < :newest_below", order])
    found = " ".join(["SELECT 1 FROM (", rows, ") AS newest WHERE", IS_PREFIXED.format(name=word.name), "LIMIT 1"])
    table = "image_terms" + session.by_index("PRIMARY")
    full = " ".join(["SELECT 1 FROM", table, "WHERE", GOES_ON.format(name=word.name)])
    order = "ORDER BY term LIMIT 1 OFFSET :others"
    return " ".join(["SELECT", str(_AMONG_NEWEST), f", NULL, ({found}) FROM (", full, order, ") AS last"])


def _seen(word: Word, terms: Mapping[str, int], window: int) -> Word:
    if sum(terms.values()) >= window:
        return word._replace(terms=tuple(term for term in terms if term == word.prefix), is_open=True)
    return _with_all(word, terms)


def _with_all(word: Word, terms: Mapping[str, int]) -> Word:
    return word._replace(
        terms=tuple(sorted(terms)),
        is_known=True,
        is_open=False,
        seems_rare=False,
        is_absent=not terms,
        longer=sum(terms.values()),
    )


def _count(session: Session, words: Sequence[Word], bounds: Bounds) -> list[Word]:
    """The words with all terms of those that have few longer ones, in rows; the others are many."""
    if not words:
        return []
    parts = []
    parameters: dict[str, Any] = {"few": bounds.sorted_rows}
    table = "image_terms" + session.by_index("PRIMARY")
    for i, word in enumerate(words):
        parameters |= word.parameters
        # To go past rows is quick, and so is to count them in their order; to set them aside first is neither.
        goes_on = GOES_ON.format(name=word.name)
        beyond = " ".join(["SELECT term FROM", table, "WHERE", goes_on, "ORDER BY term LIMIT 1 OFFSET :few"])
        rows = f"FROM (SELECT ({beyond}) AS beyond) AS first_{i} {session.ordered_join} {table}"
        parts.append(f"SELECT {i}, term, COUNT(*) {rows} WHERE first_{i}.beyond IS NULL AND {goes_on} GROUP BY term")
    found = [dict[str, int]() for _ in words]
    for i, term, count in session.fetch(" UNION ALL ".join(parts), parameters):
        found[i][term] = int(count)
    return [
        _with_all(word, dict.fromkeys(word.terms, 0) | terms)
        if terms
        else word._replace(seems_rare=False, is_many=True)
        for word, terms in zip(words, found, strict=True)
    ]


def _counted(table: str, position: int, condition: str, limit: str) -> str:
    """The statement that counts each term among the first rows of a range."""
    rows = " ".join(["SELECT term FROM", table, "WHERE", condition, f"ORDER BY term LIMIT :{limit}"])
    return " ".join(["SELECT", str(position), f", term, COUNT(*) FROM ({rows}) AS rows_{position} GROUP BY term"])


def _walk(session: Session, words: Sequence[Word], bounds: Bounds) -> list[Word]:
    """The words with all terms of those that have few, each in many rows: from each next letter at once."""
    terms: dict[str, set[str]] = {word.name: set(word.terms) for word in words}
    walks = [part for word in words for part in _by_letter(word)]
    for _ in range(bounds.windows):
        rows = _windows(session, walks, bounds)
        seen, last = [0] * len(walks), [""] * len(walks)
        for position, term, count in rows:
            terms[walks[position].word.name].add(term)
            seen[position] += count
            last[position] = max(last[position], term)
        going_on = [i for i, walk in enumerate(walks) if seen[i] == bounds.window and not _is_full(terms, walk, bounds)]
        walks = [walks[i]._replace(start=last[i], is_new=False) for i in going_on]
    unfinished = {walk.word.name for walk in walks}
    return [
        word._replace(terms=tuple(sorted(terms[word.name])), is_known=True)
        for word in words
        if word.name not in unfinished and len(terms[word.name]) <= bounds.terms
    ]


class _Walk(NamedTuple):
    """A part of the terms of a word that is still to be walked along, with its start if that is new."""

    word: Word
    start: str
    is_new: bool
    end: str


def _by_letter(word: Word) -> Iterator[_Walk]:
    """What is longer than the word, in a part for each common letter that may follow it, and what lies between."""
    start, is_new = word.prefix, False
    for letter in _LETTERS:
        yield _Walk(word, start, is_new, word.prefix + letter)
        start, is_new = word.prefix + letter, True
    yield _Walk(word, start, is_new, word.prefix + _LAST)


def _is_full(terms: Mapping[str, Collection[str]], walk: _Walk, bounds: Bounds) -> bool:
    return len(terms[walk.word.name]) > bounds.terms


def _windows(session: Session, walks: Sequence[_Walk], bounds: Bounds) -> Sequence[Row]:
    """How often there is each term in the next rows of each walk, by position."""
    if not walks:
        return ()
    windows = []
    parameters: dict[str, Any] = {"window": bounds.window}
    table = "image_terms" + session.by_index("PRIMARY")
    for i, walk in enumerate(walks):
        parameters |= {f"start_{i}": walk.start, f"stop_{i}": walk.end}
        condition = f"term {'>=' if walk.is_new else '>'} :start_{i} AND term < :stop_{i}"
        windows.append(_counted(table, i, condition, "window"))
    return session.fetch(" UNION ALL ".join(windows), parameters)
