"""Cursors tell nothing, and no other text is one."""

import base64
import itertools

import pytest

from pixyproxy.application.images.cursors import Cursors
from pixyproxy.domain.errors import DataValidationError

CURSORS = Cursors(lambda: b"a secret")
IDS = [0, 1, 2, 41, 10**6, 2**53 + 1, 2**63 - 1]
FIVE = CURSORS.encode(5)
SCRAMBLED = "nje-LqD-0pYAAAAA"


@pytest.mark.parametrize("before_id", IDS)
def test_a_cursor_leads_back_to_its_id(before_id: int) -> None:
    assert CURSORS.decode(CURSORS.encode(before_id)) == before_id


def test_all_cursors_have_one_length() -> None:
    assert {len(CURSORS.encode(before_id)) for before_id in IDS} == {32}


def test_cursors_of_neighbours_have_nothing_in_common() -> None:
    texts = [CURSORS.encode(before_id) for before_id in range(200)]
    for one, other in itertools.pairwise(texts):
        bits = int.from_bytes(base64.urlsafe_b64decode(one)) ^ int.from_bytes(base64.urlsafe_b64decode(other))
        assert 50 < bits.bit_count() < 142


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "5", "é", "\x00", SCRAMBLED, "A" * 32, FIVE[:-1], FIVE + "=", FIVE + " ", f"{FIVE[:8]}\n{FIVE[8:]}"],
)
def test_other_text_is_refused(cursor: str) -> None:
    with pytest.raises(DataValidationError, match="Link header"):
        CURSORS.decode(cursor)


def test_any_flipped_character_is_noticed() -> None:
    for i, char in enumerate(FIVE):
        with pytest.raises(DataValidationError):
            CURSORS.decode(FIVE[:i] + ("A" if char != "A" else "B") + FIVE[i + 1 :])


def test_a_cursor_of_another_service_is_refused() -> None:
    with pytest.raises(DataValidationError):
        Cursors(lambda: b"another secret").decode(FIVE)
