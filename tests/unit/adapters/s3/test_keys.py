"""Keys of objects are made from GUIDs alone, and only such keys are read."""

import pytest

from pixyproxy.adapters.s3.keys import image_key, is_shard, parse_stored, parse_thumbnail, sidecar_key, thumbnail_key

GUID = "0b9f1c2d-4e5f-4a6b-8c7d-0e1f2a3b4c5d"


def test_keys_are_those_of_the_files_of_a_folder() -> None:
    assert image_key(GUID) == f"0b/9f/{GUID}.bin"
    assert sidecar_key(GUID) == f"0b/9f/{GUID}.json"
    assert thumbnail_key(GUID, "thumbnail-256.webp") == f"derived/0b/9f/{GUID}.thumbnail-256.webp"


@pytest.mark.parametrize(
    ("key", "found"),
    [
        (f"0b/9f/{GUID}.bin", (GUID, "bin")),
        (f"0b/9f/{GUID}.json", (GUID, "json")),
        (f"ab/cd/{GUID}.bin", None),
        (f"0b/9f/{GUID}.txt", None),
        (f"0b/9f/{GUID.upper()}.bin", None),
        (f"quarantine/{GUID}/1.bin", None),
        ("pixyproxy.id", None),
    ],
)
def test_only_own_keys_are_images(key: str, found: object) -> None:
    assert parse_stored(key) == found


@pytest.mark.parametrize(
    ("key", "found"),
    [
        (f"derived/0b/9f/{GUID}.a.webp", GUID),
        (f"derived/ab/cd/{GUID}.a.webp", None),
        (f"derived/0b/9f/{GUID}.bin2", None),
        ("derived/0b/9f/readme.txt", None),
    ],
)
def test_only_own_keys_are_thumbnails(key: str, found: object) -> None:
    assert parse_thumbnail(key) == found


def test_folders_of_two_digits_are_shards() -> None:
    assert is_shard("0b")
    assert is_shard("derived/0b")
    assert not any(map(is_shard, ("0", "0b9", "zz", "derived", "quarantine", "derived/zz", "0b/9f")))
