"""Cursors, GUIDs, tags, and the access policy."""

import pytest

from pixyproxy.domain import access
from pixyproxy.domain.errors import (
    AuthenticationError,
    ImageNotFoundError,
    PermissionDeniedError,
)
from pixyproxy.domain.image import Visibility, new_guid, parse_guid
from pixyproxy.domain.tags import normalise_tags, tag_problem
from tests.fixtures.images import alter, make_image

GUID = "0b9f1c2d-4e5f-4a6b-8c7d-0e1f2a3b4c5d"
IMAGE = make_image(guid=GUID, author="alice")
PRIVATE = alter(IMAGE, visibility=Visibility.PRIVATE)
ORPHAN = alter(IMAGE, author=None)


def test_a_guid_is_canonical_and_its_case_does_not_matter() -> None:
    guid = new_guid()
    assert parse_guid(guid) == parse_guid(guid.upper()) == guid


@pytest.mark.parametrize("text", ["", "1", "None", GUID[:-1], GUID.replace("-", ""), "{" + GUID + "}"])
def test_an_invalid_guid_names_no_image(text: str) -> None:
    with pytest.raises(ImageNotFoundError):
        parse_guid(text)


def test_tags_are_trimmed_lower_cased_and_unique() -> None:
    assert normalise_tags([" Duck ", "duck", "BATH", "e\u0301te\u0301", "ÉTÉ"]) == ("duck", "bath", "été")


@pytest.mark.parametrize(("tag", "part"), [("", "blank"), ("x" * 65, "64"), ("a\x00b", "control"), ("a\nb", "control")])
def test_bad_tags_are_refused(tag: str, part: str) -> None:
    assert part in (tag_problem(tag) or "")


def test_public_images_are_seen_by_all_and_private_ones_by_their_author() -> None:
    assert [access.can_see(IMAGE, viewer) for viewer in ("alice", "bob", None)] == [True, True, True]
    assert [access.can_see(PRIVATE, viewer) for viewer in ("alice", "bob", None)] == [True, False, False]


def test_only_the_author_may_change() -> None:
    access.require_author(IMAGE, "alice")
    access.require_author(PRIVATE, "alice")
    with pytest.raises(PermissionDeniedError):
        access.require_author(IMAGE, "bob")
    with pytest.raises(ImageNotFoundError):
        access.require_author(PRIVATE, "bob")
    for image in (IMAGE, PRIVATE, ORPHAN):
        with pytest.raises(AuthenticationError):
            access.require_author(image, None)


def test_an_anonymous_image_cannot_be_changed() -> None:
    with pytest.raises(PermissionDeniedError):
        access.require_author(ORPHAN, "alice")
