"""The sidecar holds everything needed to restore a row, and older sidecars can still be read."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from pixyproxy.application.generation.sidecar import image_of, result_of, sidecar_of
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.image import Image, Visibility, new_guid
from tests.fixtures.images import alter, make_image

AT = datetime(2026, 11, 21, 10, 0, 0, 123456, tzinfo=UTC)
SOURCES = ("5d5c0b3e-6a35-4f9e-8a3b-0c9b7d2f4e10", "5d5c0b3e-6a35-4f9e-8a3b-0c9b7d2f4e11")
READY = make_image(
    id=0,
    filename="duck.png",
    prompt="a rubber duck 🦆",
    tags=("duck", "bath"),
    author="alice",
    visibility=Visibility.PRIVATE,
    created_at=AT,
    updated_at=AT,
    generator="openai",
    model="gpt-image-2",
    parameters={"size": "auto"},
    revised_prompt="a nice duck",
    usage={"total_tokens": 7},
    reported={"size": "1024x1024", "quality": "high"},
    derived_from=SOURCES,
    batch=new_guid(),
)


def written(image: Image = READY) -> dict[str, Any]:
    """Return the sidecar as it is read back from its file."""
    document: dict[str, Any] = json.loads(json.dumps(sidecar_of(image)))
    return document


def test_an_image_is_rebuilt_from_its_sidecar() -> None:
    sidecar = written()
    assert image_of(sidecar) == READY
    assert result_of(sidecar) == READY.result


def test_missing_values_are_written_and_read_as_missing() -> None:
    bare = alter(READY, derived_from=(), batch=None, reported=None)
    sidecar = written(bare)
    assert (sidecar["derived_from"], sidecar["batch"], sidecar["reported"]) == ([], None, None)
    assert image_of(sidecar) == bare
    assert result_of(sidecar) == bare.result


def test_a_sidecar_from_before_edits_and_batches_is_read() -> None:
    sidecar = written()
    for name in ("derived_from", "batch", "reported"):
        del sidecar[name]
    bare = alter(READY, derived_from=(), batch=None, reported=None)
    assert image_of(sidecar) == bare
    assert result_of(sidecar) == bare.result


def test_a_sidecar_of_a_later_version_may_hold_more() -> None:
    assert image_of(written() | {"version": 9, "weather": "fine"}) == READY


def test_the_sidecar_holds_the_authors_changes() -> None:
    changed = alter(READY, filename="Ente.png", tags=("new",), visibility=Visibility.PUBLIC)
    assert image_of(written(changed)) == changed


def test_the_sidecar_says_that_an_image_is_hidden() -> None:
    hidden = alter(READY, visibility=Visibility.PUBLIC, hidden=True)
    sidecar = written(hidden)
    assert (sidecar["visibility"], sidecar["hidden"]) == ("public", True)
    assert image_of(sidecar) == hidden
    del sidecar["hidden"]  # as of earlier versions
    assert image_of(sidecar) == alter(hidden, hidden=False)


def test_only_an_image_with_a_result_has_a_sidecar() -> None:
    with pytest.raises(DataValidationError):
        sidecar_of(replace(READY, result=None))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("version", 0),
        ("sha256", "x"),
        ("created_at", "2026-11-21T10:00:00"),
        ("derived_from", SOURCES[0]),
        ("derived_from", ["../../etc/passwd"]),
        ("derived_from", [f"{SOURCES[0]}\n"]),
        ("derived_from", None),
        ("batch", "x" * 36),
        ("batch", 7),
        ("reported", []),
    ],
)
def test_an_invalid_sidecar_is_refused_with_the_name_of_its_field(name: str, value: object) -> None:
    sidecar = written() | {name: value}
    for read in (image_of, result_of):
        with pytest.raises(DataValidationError, match=name):
            read(sidecar)
    del sidecar["prompt"]
    with pytest.raises(DataValidationError, match="prompt"):
        image_of(sidecar)
