"""The access policy of accounts: who may act on whom."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from pixyproxy.domain.accounts import authority
from pixyproxy.domain.errors import AccountPausedError, PermissionDeniedError, UserNotFoundError
from pixyproxy.domain.user import Role, User

ADMIN = User("admin", "9a", role=Role.ADMIN)
TEACHER = User("miller", "9a", role=Role.TEACHER)
CLASSLESS = User("smith", None, role=Role.TEACHER)
STUDENT = User("alice", "9a")
NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)


def test_admins_act_on_everybody() -> None:
    for role, class_key in itertools.product(Role, ("9a", "9b", None)):
        user = User("x", class_key, role=role)
        authority.require_staff_of(ADMIN, user)
        authority.require_staff_of_class(ADMIN, class_key)
        assert authority.is_staff_of(ADMIN, user)
    authority.require_admin(ADMIN)
    authority.require_staff(ADMIN)


@pytest.mark.parametrize(
    ("class_key", "role", "may"),
    [
        ("9a", Role.STUDENT, True),
        ("9a", Role.TEACHER, False),
        ("9a", Role.ADMIN, False),
        ("9A", Role.STUDENT, False),
        ("9b", Role.STUDENT, False),
        (None, Role.STUDENT, False),
    ],
)
def test_teachers_act_on_students_of_their_class_for_others_there_are_none(
    class_key: str | None, role: Role, may: bool
) -> None:
    user = User("x", class_key, role=role)
    assert authority.is_staff_of(TEACHER, user) is may
    if may:
        authority.require_staff_of(TEACHER, user)
    else:
        with pytest.raises(UserNotFoundError):
            authority.require_staff_of(TEACHER, user)


def test_teachers_act_on_their_class_only() -> None:
    authority.require_staff_of_class(TEACHER, "9a")
    for class_key in ("9b", None):
        assert not authority.is_staff_of_class(TEACHER, class_key)
        with pytest.raises(PermissionDeniedError, match="'9a'"):
            authority.require_staff_of_class(TEACHER, class_key)
    with pytest.raises(PermissionDeniedError):
        authority.require_admin(TEACHER)


def test_a_teacher_without_a_class_acts_on_nobody() -> None:
    for class_key in ("9a", None):
        assert not authority.is_staff_of(CLASSLESS, User("x", class_key))
        with pytest.raises(PermissionDeniedError, match="without a class"):
            authority.require_staff_of_class(CLASSLESS, class_key)
        with pytest.raises(PermissionDeniedError, match="without a class"):
            authority.require_staff_of(CLASSLESS, User("x", class_key))


def test_students_and_anonymous_callers_are_no_staff() -> None:
    for viewer in (STUDENT, None):
        assert not authority.is_staff(viewer)
        assert not authority.is_admin(viewer)
        assert not authority.is_staff_of_class(viewer, "9a")
        assert not authority.is_staff_of(viewer, STUDENT)
    for check in (authority.require_staff, authority.require_admin):
        with pytest.raises(PermissionDeniedError):
            check(STUDENT)
    with pytest.raises(PermissionDeniedError):
        authority.require_staff_of(STUDENT, User("bob", "9a"))


def test_an_account_is_active_while_it_is_not_paused_and_before_its_end() -> None:
    User("x").require_active(NOW)
    User("x", valid_until=NOW + timedelta(microseconds=1)).require_active(NOW)
    for user in (
        User("x", paused=True),
        User("x", valid_until=NOW),
        User("x", valid_until=datetime.min.replace(tzinfo=UTC)),
    ):
        with pytest.raises(AccountPausedError):
            user.require_active(NOW)
