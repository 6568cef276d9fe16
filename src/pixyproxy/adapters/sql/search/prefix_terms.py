"""Finds which terms begin with the words of a query, in a bounded number of steps however many there are."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pixyproxy.adapters.sql.search.bounds import Bounds
from pixyproxy.adapters.sql.session import Row, Session

# Ranges instead of LIKE: nothing to escape, and every server reads them from the index.
IS_PREFIXED = "term >= :{name} AND term < :{name}_end"
GOES_ON = "term > :{name} AND term < :{name}_end"
_LAST = "\U0010ffff"
_ENDS, _COUNTED = -1, -2
_SHORT = 3
"""A word of so few letters is the beginning of many: in one statement these are glanced at and counted."""
_OTHER_ROWS = 100
"""More than a glance reads beside the window."""
_LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz{"


class Word(NamedTuple):
    """A word of a query and the terms that begin with it.

    `is_known`: these are all terms. `is_open`: there are more than a glance shows. `is_absent`: there are none.
    `longer`: how many rows have a term longer than the word, where they are so few that they can be read and sorted.
    `oldest` and `newest`: the lowest and the highest id of all images.
    """

    name: str
    prefix: str
    terms: tuple[str, ...] = ()
    is_known: bool = False
    is_open: bool = False
    is_absent: bool = False
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


def look_up(session: Session, prefixes: Sequence[str], bounds: Bounds, lone_before: int | None = None) -> list[Word]:
    """The words that begin so, with what one glance shows of each.

    Of those for whom the bounds leave no time nothing is known, which is no error. `lone_before`: there is only one,
    which is all that leads to the images below this id, so that it is looked into a little further.
    """
    words = [Word(f"word_{i}", prefix) for i, prefix in enumerate(prefixes)]
    longest = sorted(words, key=lambda word: -len(word.prefix))[: bounds.words]
    known = {word.name: word for word in _glance(session, longest, bounds, lone_before)}
    if lone_before is not None:
        known = {name: _count_if_rare(session, word, lone_before, bounds) for name, word in known.items()}
    return [known.get(word.name, word) for word in words]


def look_further(session: Session, words: Sequence[Word], bounds: Bounds) -> list[Word]:
    """The words, of which those that are open are looked into as far as the bounds allow; none is open any more."""
    known = {word.name: word for word in _count(session, [word for word in words if word.is_open], bounds)}
    walked = _walk(session, [word for word in known.values() if word.longer is None], bounds)
    known |= {word.name: word for word in walked}
    return [known.get(word.name, word) for word in words]


def _glance(session: Session, words: Sequence[Word], bounds: Bounds, lone_before: int | None) -> list[Word]:
    """Look whether the word is a term, and at a window of what follows: the rows of a common term would fill it."""
    if not words:
        return []
    # Each by itself: SQLite would read all images for both at once.
    parts = ["SELECT -1, (SELECT MIN(id) FROM images), (SELECT MAX(id) FROM images)"]
    parameters: dict[str, Any] = {"window": bounds.window}
    table = "image_terms" + session.by_index("PRIMARY")
    for i, word in enumerate(words):
        parameters |= word.parameters
        whole = f"FROM {table} WHERE term = :{word.name} LIMIT 1"
        parts.append(" ".join(["SELECT", str(i), ", (SELECT term", whole, "), 0"]))
        parts.append(_counted(table, i, GOES_ON.format(name=word.name), "window"))
    if lone_before is not None and 1 < len(words[0].prefix) <= _SHORT:
        rare, more = _counted_if_rare(session, words[0], lone_before, bounds, _COUNTED)
        parts.append(rare)
        parameters |= more
    oldest = newest = 0
    counted = dict[str, int]()
    found = [dict[str, int]() for _ in words]
    for i, term, count in session.fetch(" UNION ALL ".join(parts), parameters):
        if i == _COUNTED:
            counted[term] = int(count)
        elif i == _ENDS:
            oldest, newest = int(term or 0), int(count or 0)
        elif term is not None:
            found[i][term] = int(count)
    words = [word._replace(oldest=oldest, newest=newest) for word in words]
    words = [_seen(word, terms, bounds.window) for word, terms in zip(words, found, strict=True)]
    return [_if_rare(session, word, counted, bounds) if word.is_open else word for word in words]


def _count_if_rare(session: Session, word: Word, before: int, bounds: Bounds) -> Word:
    """The word, with all its terms if few rows have them, and none of the newest images below an id.

    The server decides whether to count, so that it is one statement. Of a short one it has been asked already.
    """
    if not word.is_open or len(word.prefix) <= _SHORT:
        return word
    found = session.fetch(*_counted_if_rare(session, word, before, bounds))
    return _if_rare(session, word, {term: int(count) for _, term, count in found}, bounds)


def _counted_if_rare(
    session: Session, word: Word, before: int, bounds: Bounds, position: int = 0
) -> tuple[str, dict[str, Any]]:
    """The statement that counts each longer term if no new image has one, and they are in few rows, and its parameters.

    A server that can be told to give up needs not look beforehand how many there are; see `_if_rare`.
    """
    # A glance before it comes to its end in any case; and each term that is found is read once more.
    before_it = _OTHER_ROWS + 2 * (bounds.window + bounds.newest)
    end = session.give_up_after(before_it + bounds.sorted_rows + bounds.examined)
    table = "image_terms" + session.by_index("image_terms_image")
    order = "ORDER BY image_id DESC, term DESC LIMIT :newest"
    rows = " ".join(["SELECT term FROM", table, "WHERE image_id < :before", order])
    is_new = " ".join(["(SELECT 1 FROM (", rows, ") AS newest WHERE", IS_PREFIXED.format(name=word.name), "LIMIT 1)"])
    seen = is_new if end else "".join(["COALESCE(", is_new, ", (", _beyond(session, word), "))"])
    counted = _counted_unless_seen(session, position, word, " ".join(["SELECT", seen, "AS seen"]))
    parameters = word.parameters | {"before": before, "newest": bounds.newest, "few": bounds.sorted_rows}
    return counted + end, parameters


def _if_rare(session: Session, word: Word, terms: Mapping[str, int], bounds: Bounds) -> Word:
    """The word with these longer terms, if they were counted to the end and are in few rows."""
    is_rare = bool(terms) and not session.gave_up and sum(terms.values()) <= bounds.sorted_rows
    return _with_all(word, dict.fromkeys(word.terms, 0) | dict(terms)) if is_rare else word


def _beyond(session: Session, word: Word) -> str:
    """The statement with a row if more than a few rows have a longer term."""
    table = "image_terms" + session.by_index("PRIMARY")
    # The place is the same however many rows there are, and to go past rows takes less than to count them.
    where = " ".join(["WHERE", GOES_ON.format(name=word.name), "ORDER BY term LIMIT 1 OFFSET :few"])
    return " ".join(["SELECT 1 FROM", table, where])


def _counted_unless_seen(session: Session, position: int, word: Word, seen: str) -> str:
    """The statement that counts each longer term if another one gives a row that is NULL."""
    # In the order of the index, which is quicker than to set so many rows aside and count these.
    looked = " ".join(["FROM (", seen, ") AS look", session.ordered_join])
    table = "image_terms" + session.by_index("PRIMARY")
    where = f"WHERE look.seen IS NULL AND {GOES_ON.format(name=word.name)} GROUP BY term"
    return " ".join(["SELECT", str(position), ", term, COUNT(*)", looked, table, where])


def _seen(word: Word, terms: Mapping[str, int], window: int) -> Word:
    if sum(terms.values()) >= window:
        return word._replace(terms=tuple(term for term in terms if term == word.prefix), is_open=True)
    return _with_all(word, terms)


def _with_all(word: Word, terms: Mapping[str, int]) -> Word:
    return word._replace(
        terms=tuple(sorted(terms)),
        is_known=True,
        is_open=False,
        is_absent=not terms,
        longer=sum(terms.values()),
    )


def _count(session: Session, words: Sequence[Word], bounds: Bounds) -> list[Word]:
    """The words with all terms of those that have few longer ones, in rows."""
    if not words:
        return []
    parts = []
    parameters: dict[str, Any] = {"few": bounds.sorted_rows}
    for i, word in enumerate(words):
        parameters |= word.parameters
        parts.append(_counted_unless_seen(session, i, word, f"SELECT ({_beyond(session, word)}) AS seen"))
    found = [dict[str, int]() for _ in words]
    for i, term, count in session.fetch(" UNION ALL ".join(parts), parameters):
        found[i][term] = int(count)
    return [
        _with_all(word, dict.fromkeys(word.terms, 0) | terms) if terms else word._replace(is_open=False)
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
