"""The sidecar holds all that a row is made from again, and older ones are still read."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from pixyproxy.application.generation.sidecar import image_of, result_of, sidecar_of, sidecar_of_ready
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.image import Image, ImageResult, Picture, Status, Visibility, new_guid

AT = datetime(2026, 11, 21, 10, 0, 0, 123456, tzinfo=UTC)
SOURCES = ("5d5c0b3e-6a35-4f9e-8a3b-0c9b7d2f4e10", "5d5c0b3e-6a35-4f9e-8a3b-0c9b7d2f4e11")
IMAGE = Image(
    id=7,
    guid=new_guid(),
    filename="draft.png",
    prompt="a rubber duck 🦆",
    tags=("duck", "bath"),
    author="alice",
    visibility=Visibility.PRIVATE,
    status=Status.GENERATING,
    created_at=AT,
    updated_at=AT,
    generator="openai",
    model=None,
    parameters={"size": "auto"},
    derived_from=SOURCES,
    batch=new_guid(),
)
RESULT = ImageResult(
    filename="duck.png",
    picture=Picture("image/png", 1024, 768),
    size_bytes=1_482_211,
    sha256="ab" * 32,
    model="gpt-image-2",
    revised_prompt="a nice duck",
    usage={"total_tokens": 7},
    reported={"size": "1024x1024", "quality": "high"},
)
READY = replace(
    IMAGE,
    id=0,
    filename="duck.png",
    status=Status.READY,
    model="gpt-image-2",
    media_type="image/png",
    width=1024,
    height=768,
    size_bytes=1_482_211,
    sha256="ab" * 32,
    revised_prompt="a nice duck",
    usage={"total_tokens": 7},
    reported={"size": "1024x1024", "quality": "high"},
)


def written(image: Image, result: ImageResult) -> dict[str, Any]:
    """The sidecar as it is read back from its file."""
    document: dict[str, Any] = json.loads(json.dumps(sidecar_of(image, result)))
    return document


def test_an_image_is_made_again_from_its_sidecar() -> None:
    sidecar = written(IMAGE, RESULT)
    assert image_of(sidecar) == READY
    assert result_of(sidecar) == RESULT


def test_what_is_not_there_is_written_and_read_as_such() -> None:
    sidecar = written(replace(IMAGE, derived_from=(), batch=None), replace(RESULT, reported=None))
    assert (sidecar["derived_from"], sidecar["batch"], sidecar["reported"]) == ([], None, None)
    assert image_of(sidecar) == replace(READY, derived_from=(), batch=None, reported=None)
    assert result_of(sidecar) == replace(RESULT, reported=None)


def test_a_sidecar_from_before_edits_and_batches_is_read() -> None:
    sidecar = written(IMAGE, RESULT)
    for name in ("derived_from", "batch", "reported"):
        del sidecar[name]
    assert image_of(sidecar) == replace(READY, derived_from=(), batch=None, reported=None)
    assert result_of(sidecar) == replace(RESULT, reported=None)


def test_a_sidecar_of_a_later_version_may_hold_more() -> None:
    assert image_of(written(IMAGE, RESULT) | {"version": 9, "weather": "fine"}) == READY


def test_the_sidecar_of_a_changed_image_keeps_what_its_author_does_not_change() -> None:
    changed = replace(READY, filename="Ente.png", tags=("new",), visibility=Visibility.PUBLIC)
    assert sidecar_of_ready(changed) == sidecar_of(changed, replace(RESULT, filename="Ente.png"))
    assert image_of(sidecar_of_ready(changed)) == changed


@pytest.mark.parametrize("image", [IMAGE, replace(READY, sha256=None), replace(READY, size_bytes=None)])
def test_only_a_ready_image_has_a_sidecar(image: Image) -> None:
    with pytest.raises(DataValidationError):
        sidecar_of_ready(image)


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
def test_what_does_not_describe_an_image_is_refused_by_name(name: str, value: object) -> None:
    sidecar = written(IMAGE, RESULT) | {name: value}
    for read in (image_of, result_of):
        with pytest.raises(DataValidationError, match=name):
            read(sidecar)
    del sidecar["prompt"]
    with pytest.raises(DataValidationError, match="prompt"):
        image_of(sidecar)
