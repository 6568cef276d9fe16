"""The planner lets the posting list with the fewest images drive a batch."""

from collections.abc import Sequence

import pytest

from pixyproxy.adapters.sql.search.audiences import audiences_of
from pixyproxy.adapters.sql.search.bounds import DEFAULT
from pixyproxy.adapters.sql.search.id_range import NEWEST, IdRange
from pixyproxy.adapters.sql.search.planner import Plan, Planner
from pixyproxy.adapters.sql.search.posting_list import PostingList
from pixyproxy.adapters.sql.session import Parameters, Row
from pixyproxy.adapters.sqlite.session import SQLiteSession
from pixyproxy.domain.query import ImageQuery

ALL_IDS = IdRange(NEWEST)


class ProbedSession(SQLiteSession):
    """A session whose probes find given numbers of ids and lowest ids: of the scope, then of each tag."""

    def __init__(self, *found: tuple[int, int | None]) -> None:
        self._found = found

    def fetch(self, sql: str, parameters: Parameters) -> Sequence[Row]:
        return [(position, count, lowest) for position, (count, lowest) in enumerate(self._found)]


def plan(*found: tuple[int, int | None], ids: IdRange = ALL_IDS) -> Plan:
    """Return the plan for a batch of 100 images with two tags."""
    query = ImageQuery(tags=("bath", "toys"))
    return Planner(ProbedSession(*found), query, audiences_of(query), (), DEFAULT).plan(ids, 100)


def test_list_that_reaches_furthest_down_drives() -> None:
    batch = plan((100, 900), (100, 300), (100, 700))
    assert batch.driving.name == "exact_0"
    assert (batch.floor, batch.examined, batch.is_last) == (299, 100, False)
    [check, row] = batch.conditions
    assert ":exact_1" in check
    assert ":public" in row


def test_list_that_ends_drives_before_one_that_goes_on() -> None:
    batch = plan((100, 900), (100, 300), (7, 500))
    assert batch.driving.name == "exact_1"
    assert (batch.floor, batch.examined, batch.is_last) == (0, 7, True)


def test_shortest_of_lists_that_end_drives() -> None:
    assert plan((9, 1), (8, 2), (0, None)).driving.name == "exact_1"


def test_scope_drives_if_few_images_are_visible() -> None:
    batch = plan((3, 10), (100, 300), (100, 700))
    assert batch.driving.name == "scope"
    assert ":exact_0" in batch.conditions[0], "the list that reaches further down is checked first"
    assert ":exact_1" in batch.conditions[1]


@pytest.mark.parametrize(("count", "is_last"), [(100, False), (99, True)])
def test_list_of_the_range_drives_alone(count: int, is_last: bool) -> None:
    ids = IdRange(NEWEST, 50, PostingList("stragglers", ("SELECT 1",)))
    batch = plan((count, 60), ids=ids)
    assert batch.driving.name == "stragglers"
    assert (batch.floor, batch.is_last) == (50 if is_last else 59, is_last)
    assert len(batch.conditions) == 3


def test_merged_lists_shrink_the_batch() -> None:
    query = ImageQuery(tags=tuple(f"tag {i}" for i in range(99)))
    session = ProbedSession(*[(40, 1000 - i) for i in range(100)])
    batch = Planner(session, query, audiences_of(query), (), DEFAULT).plan(ALL_IDS, 1000)
    assert batch.examined == DEFAULT.merged_rows // 100
    assert batch.floor == 900
