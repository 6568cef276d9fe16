"""Cursors, GUIDs, tags, and the access policy."""

import pytest

from pixyproxy.domain import access
from pixyproxy.domain.errors import (
    AuthenticationError,
    ImageNotFoundError,
    PermissionDeniedError,
)
from pixyproxy.domain.image import Image, Visibility, new_guid, parse_guid
from pixyproxy.domain.tags import normalise_tags, tag_problem
from pixyproxy.domain.user import Role, User
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


ROOT, MILLER, SMITH = access.Staff("root", None), access.Staff("miller", "9a"), access.Staff("smith", "9b")
ALICE = User("alice", "9a")
HIDDEN = alter(IMAGE, hidden=True)


def test_the_staff_are_viewers_with_a_class_and_teachers_without_one_are_not() -> None:
    assert access.viewer_of(None) is None
    assert access.viewer_of(ALICE) == "alice"
    assert access.viewer_of(User("miller", "9a", role=Role.TEACHER)) == MILLER
    assert access.viewer_of(User("lost", None, role=Role.TEACHER)) == "lost"
    assert access.viewer_of(User("root", "9a", role=Role.ADMIN)) == ROOT
    assert [access.username_of(viewer) for viewer in (MILLER, "alice", None)] == ["miller", "alice", None]


@pytest.mark.parametrize(
    ("image", "author", "seen"),
    [
        (HIDDEN, ALICE, ["alice", ROOT, MILLER]),
        (HIDDEN, User("alice", "9b"), ["alice", ROOT, SMITH]),
        (HIDDEN, User("alice", "9a", role=Role.TEACHER), ["alice", ROOT]),
        (HIDDEN, None, ["alice", ROOT]),
        (alter(HIDDEN, author=None), None, [ROOT]),
        (alter(HIDDEN, visibility=Visibility.PRIVATE), ALICE, ["alice"]),
        (PRIVATE, ALICE, ["alice"]),
        (IMAGE, ALICE, [None, "alice", "bob", ROOT, MILLER, SMITH]),
    ],
)
def test_hidden_images_are_seen_by_their_author_and_the_staff_concerned(
    image: Image, author: User | None, seen: list[access.Viewer]
) -> None:
    viewers = [None, "alice", "bob", ROOT, MILLER, SMITH]
    assert [viewer for viewer in viewers if access.can_see(image, viewer, author)] == seen


def test_the_staff_concerned_hide_public_images() -> None:
    access.require_hider(IMAGE, MILLER, ALICE)
    access.require_hider(HIDDEN, ROOT, ALICE)
    access.require_hider(ORPHAN, ROOT, None)
    for image, viewer, author in ((IMAGE, SMITH, ALICE), (IMAGE, "alice", ALICE), (ORPHAN, MILLER, None)):
        with pytest.raises(PermissionDeniedError, match="a teacher of the author's class"):
            access.require_hider(image, viewer, author)
    with pytest.raises(PermissionDeniedError, match="is private"):
        access.require_hider(PRIVATE, ROOT, ALICE)


def test_no_link_opens_a_hidden_image() -> None:
    access.require_linkable(IMAGE)
    access.require_linkable(PRIVATE)
    for image in (HIDDEN, alter(PRIVATE, hidden=True)):
        with pytest.raises(ImageNotFoundError):
            access.require_linkable(image)


def test_an_image_without_an_author_is_an_administrators_to_delete() -> None:
    access.require_owner(ORPHAN, ROOT)
    access.require_owner(IMAGE, "alice")
    for image, viewer in ((ORPHAN, "alice"), (ORPHAN, MILLER), (IMAGE, ROOT), (HIDDEN, ROOT)):
        with pytest.raises(PermissionDeniedError):
            access.require_owner(image, viewer)
    with pytest.raises(AuthenticationError):
        access.require_owner(ORPHAN, None)


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
