"""File names: derived from prompts, and checked if they come from a caller."""

import re
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pixyproxy.domain.filename import (
    MAX_FILENAME_BYTES,
    content_disposition,
    extension_for,
    filename_for,
    filename_problem,
)

GUID = "0b9f1c2d-6a41-4c0e-9a53-0d6f2f1f7c55"


@pytest.mark.parametrize(
    ("prompt", "media_type", "filename"),
    [
        ("A rubber duck on a sink", "image/png", "a-rubber-duck-on-a-sink-0b9f1c2d.png"),
        ("../../etc/passwd", "image/jpeg", "etc-passwd-0b9f1c2d.jpg"),
        ("C:\\Windows\x00\n", "image/webp", "c-windows-0b9f1c2d.webp"),
        ("一只橡皮鸭子", "image/png", "一只橡皮鸭子-0b9f1c2d.png"),
        ("🦆", "image/png", "image-0b9f1c2d.png"),
        ("x", "application/unknown", "x-0b9f1c2d.bin"),
    ],
)
def test_a_name_is_made_of_the_words_of_the_prompt(prompt: str, media_type: str, filename: str) -> None:
    assert filename_for(prompt, GUID, media_type) == filename
    assert filename_problem(filename) is None


@pytest.mark.parametrize("prompt", ["x" * 32_000, "鸭" * 32_000, "word " * 6_000, "\U00020000" * 500])
def test_a_long_prompt_makes_a_name_that_file_systems_accept(prompt: str) -> None:
    filename = filename_for(prompt, GUID, "image/png")
    assert len(filename.encode()) <= MAX_FILENAME_BYTES
    assert filename_problem(filename) is None


def test_two_images_of_one_prompt_have_different_names() -> None:
    assert filename_for("duck", GUID, "image/png") != filename_for("duck", GUID.replace("0b9f", "ffff"), "image/png")


@pytest.mark.parametrize(
    ("filename", "part"),
    [
        ("", "blank"),
        ("  ", "blank"),
        (" duck.png", "white space"),
        (".", "folder"),
        ("..", "folder"),
        ("a/b.png", "bare name"),
        ("a\\b.png", "bare name"),
        ("a\x00b", "control"),
        ("a\nb", "control"),
        ("duck\u202egnp.exe", "formatting"),
        ("鸭" * 86, "bytes"),
    ],
)
def test_hostile_names_are_refused_with_the_rule(filename: str, part: str) -> None:
    assert part in (filename_problem(filename) or "")


@pytest.mark.parametrize("filename", ["duck.png", "Ente & Küken (2).png", "鸭.png", "a" * 255, "👩‍🎨.png"])
def test_valid_names_pass(filename: str) -> None:
    assert filename_problem(filename) is None


def test_unknown_media_types_have_a_neutral_extension() -> None:
    assert extension_for("image/x-unheard-of") == "bin"


@pytest.mark.parametrize(
    ("filename", "expected"),
    [
        ("duck.png", 'inline; filename="duck.png"'),
        ("a duck; x=1.png", 'inline; filename="a duck; x=1.png"'),
        ('a"b.png', "inline; filename=\"a_b.png\"; filename*=UTF-8''a%22b.png"),
        ("a\\b.png", "inline; filename=\"a_b.png\"; filename*=UTF-8''a%5Cb.png"),
        ("100%25.png", "inline; filename=\"100_25.png\"; filename*=UTF-8''100%2525.png"),
        ("enté.png", "inline; filename=\"ent_.png\"; filename*=UTF-8''ent%C3%A9.png"),
        ("鸭子.png", "inline; filename=\"__.png\"; filename*=UTF-8''%E9%B8%AD%E5%AD%90.png"),
        ("🦆.png", "inline; filename=\"_.png\"; filename*=UTF-8''%F0%9F%A6%86.png"),
        ("a\r\nX-Y: z", "inline; filename=\"a__X-Y: z\"; filename*=UTF-8''a%0D%0AX-Y%3A%20z"),
        ("*'()!.png", "inline; filename=\"*'()!.png\""),
    ],
)  # fmt: skip
def test_the_file_name_in_any_script(filename: str, expected: str) -> None:
    assert content_disposition(filename) == expected


@settings(deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.text(max_size=80).filter(lambda name: filename_problem(name) is None))
def test_a_file_name_round_trips_and_stays_in_its_header(filename: str) -> None:
    value = content_disposition(filename)
    assert value.isascii()
    assert value.isprintable()
    found = re.fullmatch(r"inline; filename=\"([^\"\\%]*)\"(?:; filename\*=UTF-8''([A-Za-z0-9._~%-]*))?", value)
    assert found is not None
    assert (unquote(found[2]) if found[2] is not None else found[1]) == filename
