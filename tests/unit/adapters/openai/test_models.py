"""The list of image models."""

import json
from datetime import UTC, datetime

import pytest

from pixyproxy.adapters.openai.models import read_models
from pixyproxy.domain.errors import GeneratorUnavailableError
from pixyproxy.domain.generation import GeneratorModel


def listing(*entries: object) -> bytes:
    return json.dumps({"object": "list", "data": entries}).encode()


def test_image_models_and_the_default_one_sorted() -> None:
    raw = listing(
        {"id": "gpt-7", "created": 1},
        {"id": "gpt-image-2", "object": "model", "created": 1_776_729_600, "owned_by": "openai"},
        {"id": "mine", "created": 5},
        {"id": "dall-e-3", "shutdown_date": "2026-05-12"},
        {"id": "Some-Image-Model"},
    )
    assert read_models(raw, "mine") == (
        GeneratorModel("Some-Image-Model"),
        GeneratorModel("dall-e-3", shutdown_date="2026-05-12"),
        GeneratorModel("gpt-image-2", datetime(2026, 4, 21, tzinfo=UTC), "openai"),
        GeneratorModel("mine", datetime(1970, 1, 1, 0, 0, 5, tzinfo=UTC), is_default=True),
    )


@pytest.mark.parametrize("raw", [None, listing(), b"[]", listing({"id": "gpt-7"})])
def test_the_default_model_is_added_to_the_list(raw: bytes | None) -> None:
    assert read_models(raw, "mine") == (GeneratorModel("mine", is_default=True),)


@pytest.mark.parametrize(
    "entry",
    [None, 5, "image", [], {}, {"id": None}, {"id": ""}, {"id": 7}, {"id": "image" + "x" * 300}, {"id": "image\n"}],
    ids=str,
)
def test_odd_entries_are_left_out(entry: object) -> None:
    assert [model.id for model in read_models(listing(entry, {"id": "image-1"}), "mine")] == ["image-1", "mine"]


@pytest.mark.parametrize("created", [None, "5", 1.5, True, 10**20, -(10**20)], ids=str)
def test_an_odd_time_is_none(created: object) -> None:
    [model] = read_models(listing({"id": "mine", "created": created, "owned_by": 5, "shutdown_date": ""}), "mine")
    assert model == GeneratorModel("mine", is_default=True)


@pytest.mark.parametrize("raw", [b"", b"<html>", b"{}", b'{"data": {}}', b'{"data": null}', b"\xff"])
def test_an_invalid_list(raw: bytes) -> None:
    with pytest.raises(GeneratorUnavailableError):
        read_models(raw, "mine")


@pytest.mark.parametrize(
    ("entry", "is_listed"),
    [
        ({"id": "seedream-5-pro"}, True),
        ({"id": "made-up-tomorrow"}, True),
        ({"id": "black-forest-labs/FLUX.1-dev"}, True),
        ({"id": "stable-diffusion-xl"}, True),
        ({"id": "gpt-image-3"}, True),
        ({"id": "gemini-3-pro-image"}, True),
        ({"id": "gpt-7"}, False),
        ({"id": "anthropic/claude-9"}, False),
        ({"id": "text-embedding-3-small"}, False),
        ({"id": "whisper-1"}, False),
        ({"id": "qwen3-coder"}, False),
        ({"id": "gpt-7", "mode": "image_generation"}, True),
        ({"id": "x", "architecture": {"input_modalities": ["text"], "output_modalities": ["image", "text"]}}, True),
        ({"id": "x", "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]}}, False),
        ({"id": "x", "architecture": "odd"}, True),
        ({"name": "by-name"}, True),
    ],
    ids=str,
)
def test_models_are_listed_unless_they_make_other_things(entry: dict[str, object], is_listed: bool) -> None:
    names = [model.id for model in read_models(listing(entry), "mine")]
    assert names == sorted(["mine", *([str(entry.get("id", entry.get("name")))] if is_listed else [])])


@pytest.mark.parametrize(
    "raw", [b'[{"id": "one"}]', b'{"models": [{"id": "one"}]}', b'\xef\xbb\xbf{"data": [{"id": "one"}]}']
)
def test_lists_in_other_shapes_are_read(raw: bytes) -> None:
    assert [model.id for model in read_models(raw, "two")] == ["one", "two"]
