"""Conditional and range requests (RFC 9110, sections 13 and 14)."""

from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pixyproxy.entrypoints.http.representation.conditional import (
    Representation,
    UnsatisfiableRange,
    failed_precondition,
    requested_range,
)

MADE = datetime(2026, 11, 21, 10, 0, 0, 900_000, tzinfo=UTC)
HAVE = Representation(etag='"abc"', last_modified=MADE, size=100)
THEN = "Sat, 21 Nov 2026 10:00:00 GMT"
BEFORE = "Sat, 21 Nov 2026 09:59:59 GMT"
AFTER = "Sat, 21 Nov 2026 10:00:01 GMT"


def test_the_http_date_is_in_utc_and_whole_seconds() -> None:
    elsewhere = MADE.astimezone(timezone(timedelta(hours=5)))
    assert Representation('"x"', elsewhere, 1).http_date == HAVE.http_date == THEN


@pytest.mark.parametrize(
    ("field", "status"),
    [
        ('"abc"', 304),
        ('W/"abc"', 304),
        ("*", 304),
        (" * ", 304),
        ('"x", "abc"', 304),
        ('"x","y",W/"abc"', 304),
        ('"a,b", "abc"', 304),
        ('"ABC"', None),
        ('"x"', None),
        ('"xabc"', None),
        ("abc", None),
        ("", None),
        ('"', None),
        ('"abc', None),
    ],
)
def test_if_none_match_compares_weakly(field: str, status: int | None) -> None:
    assert failed_precondition({"if-none-match": field}, HAVE) == status


@pytest.mark.parametrize(
    ("field", "status"),
    [
        ('"abc"', None),
        ("*", None),
        ('"x", "abc"', None),
        ('W/"abc"', 412),
        ('"x"', 412),
        ("", 412),
        ("abc", 412),
    ],
)
def test_if_match_compares_strongly(field: str, status: int | None) -> None:
    assert failed_precondition({"if-match": field}, HAVE) == status


@pytest.mark.parametrize(
    ("field", "unmodified", "modified"),
    [
        (THEN, None, 304),
        (AFTER, None, 304),
        (BEFORE, 412, None),
        ("Saturday, 21-Nov-26 10:00:00 GMT", None, 304),  # the two old forms must be understood (5.6.7)
        ("Sat Nov 21 10:00:00 2026", None, 304),
        ("2026-11-21T10:00:00Z", None, None),
        ("yesterday", None, None),
        ("", None, None),
        ("Sat, 21 Nov 99999999999999999999 10:00:00 GMT", None, None),
        ("Sat, 21 Nov 2026 10:00:00 +99999999999999", None, None),
        ("Sat, 32 Nov 2026 10:00:00 GMT", None, None),
    ],
)
def test_dates_compare_in_whole_seconds_and_malformed_ones_are_ignored(
    field: str, unmodified: int | None, modified: int | None
) -> None:
    assert failed_precondition({"if-unmodified-since": field}, HAVE) == unmodified
    assert failed_precondition({"if-modified-since": field}, HAVE) == modified


def test_conditions_have_their_order_of_precedence() -> None:
    """RFC 9110, section 13.2.2: tags go before dates, and If-Match before If-None-Match."""
    assert failed_precondition({"if-match": '"abc"', "if-unmodified-since": BEFORE}, HAVE) is None
    assert failed_precondition({"if-none-match": '"x"', "if-modified-since": THEN}, HAVE) is None
    assert failed_precondition({"if-match": '"x"', "if-none-match": '"abc"'}, HAVE) == 412
    assert failed_precondition({"if-match": '"abc"', "if-none-match": '"abc"'}, HAVE) == 304
    assert failed_precondition({"if-unmodified-since": THEN, "if-none-match": '"abc"'}, HAVE) == 304
    assert failed_precondition({}, HAVE) is None


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("bytes=0-", (0, 100)),
        ("bytes=0-0", (0, 1)),
        ("bytes=10-19", (10, 20)),
        ("bytes=99-", (99, 100)),
        ("bytes=90-1000", (90, 100)),
        ("bytes=90-" + "9" * 190, (90, 100)),
        ("bytes=-1", (99, 100)),
        ("bytes=-100", (0, 100)),
        ("bytes=-1000", (0, 100)),
        ("bytes=-" + "9" * 190, (0, 100)),
        ("BYTES=0-1", (0, 2)),
        ("bytes= 0-1", (0, 2)),
        ("bytes = 0 - 1 ", (0, 2)),
        ("bytes=" + "0" * 190 + "5-6", (5, 7)),
    ],
)
def test_one_range_is_served(field: str, expected: tuple[int, int]) -> None:
    assert requested_range({"range": field}, HAVE) == expected


@pytest.mark.parametrize(
    "field",
    ["bytes=0-1,5-6", "bytes=0-1, bytes=5-6", "bytes=5-4", "bytes=-", "bytes=", "bytes", "", "items=0-1", "bytes=a-b",
     "bytes=1", "bytes=+1-2", "bytes=1-2-3", "bytes=٣-٤", "bytes=²-", "=0-1", "items=" + "0" * 6000 + "-"],
)  # fmt: skip
def test_anything_but_one_range_of_bytes_means_the_whole(field: str) -> None:
    assert requested_range({"range": field}, HAVE) is None


@pytest.mark.parametrize("field", ["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=" + "9" * 190 + "-"])
def test_a_range_without_a_byte_cannot_be_satisfied(field: str) -> None:
    with pytest.raises(UnsatisfiableRange):
        requested_range({"range": field}, HAVE)


@pytest.mark.parametrize("ranges", [" " * 200 + "0-1", "0-1," * 50, "0" * 199 + "-"])
def test_a_field_above_200_characters_is_refused_where_it_counts(ranges: str) -> None:
    with pytest.raises(UnsatisfiableRange):
        requested_range({"range": f"bytes={ranges}"}, HAVE)
    assert requested_range({"range": f"bytes={ranges}", "if-range": '"old"'}, HAVE) is None


@pytest.mark.parametrize(
    ("condition", "applies"),
    [('"abc"', True), (THEN, True), ('W/"abc"', False), ('"x"', False), (BEFORE, False), (AFTER, False), ("", False)],
)
def test_if_range_needs_the_exact_validator(condition: str, applies: bool) -> None:
    found = requested_range({"range": "bytes=0-0", "if-range": condition}, HAVE)
    assert found == ((0, 1) if applies else None)


def test_a_range_that_does_not_apply_cannot_be_unsatisfiable() -> None:
    assert requested_range({"range": "bytes=500-", "if-range": '"old"'}, HAVE) is None


DIGITS = st.integers(0, 10**30).map(str)
FIELD = (
    st.binary(max_size=60).map(lambda raw: raw.decode("latin-1"))
    | st.builds("bytes={}-{}".format, DIGITS | st.just(""), DIGITS | st.just(""))
    | st.builds("Sat, {} Nov {} {}:{}:{} {}".format, DIGITS, DIGITS, DIGITS, DIGITS, DIGITS, DIGITS)
)
quietly = settings(deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))


@quietly
@given(
    st.dictionaries(
        st.sampled_from(["if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "range", "if-range"]),
        FIELD,
    )
)
def test_no_header_field_raises_an_unexpected_error(headers: dict[str, str]) -> None:
    assert failed_precondition(headers, HAVE) in {None, 304, 412}
    try:
        found = requested_range(headers, HAVE)
    except UnsatisfiableRange:
        return
    assert found is None or 0 <= found[0] < found[1] <= HAVE.size


@quietly
@given(st.datetimes(min_value=datetime(1971, 1, 1), timezones=st.just(UTC)))
def test_a_representation_is_not_modified_since_its_own_date(date: datetime) -> None:
    have = Representation('"x"', date, 1)
    assert failed_precondition({"if-modified-since": have.http_date}, have) == 304
    later = format_datetime(min(date, datetime.max.replace(tzinfo=UTC) - timedelta(1)) + timedelta(1), usegmt=True)
    assert failed_precondition({"if-unmodified-since": later}, have) is None
