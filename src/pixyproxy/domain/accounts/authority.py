"""The access policy of accounts: the users and classes that a viewer may act on.

A teacher acts on the students of the own class, on nobody else in it, and on nobody at all without a class. An
administrator acts on everybody.
"""

from pixyproxy.domain.errors import PermissionDeniedError, UserNotFoundError
from pixyproxy.domain.user import Role, User


def is_admin(viewer: User | None) -> bool:
    """Return whether the viewer is an administrator."""
    return viewer is not None and viewer.role is Role.ADMIN


def is_staff(viewer: User | None) -> bool:
    """Return whether the viewer is a teacher or an administrator."""
    return viewer is not None and viewer.role in {Role.TEACHER, Role.ADMIN}


def is_staff_of_class(viewer: User | None, class_key: str | None) -> bool:
    """Return whether the viewer may act on a class; on users without a class (None) only administrators may."""
    if viewer is None or viewer.role is not Role.TEACHER:
        return is_admin(viewer)
    return class_key is not None and viewer.class_key == class_key


def is_staff_of(viewer: User | None, user: User) -> bool:
    """Return whether the viewer may act on a user; teachers may on students only."""
    return is_staff_of_class(viewer, user.class_key) and (is_admin(viewer) or user.role is Role.STUDENT)


def require_admin(viewer: User) -> None:
    """Raise PermissionDeniedError unless the viewer is an administrator."""
    if not is_admin(viewer):
        raise PermissionDeniedError("Only an administrator may do this.")


def require_staff(viewer: User) -> None:
    """Raise PermissionDeniedError unless the viewer is an administrator, or a teacher who has a class."""
    if not is_staff(viewer):
        raise PermissionDeniedError("Only a teacher or an administrator may do this.")
    if not is_admin(viewer) and viewer.class_key is None:
        raise PermissionDeniedError("A teacher without a class acts on nobody: an administrator can give you one.")


def require_staff_of_class(viewer: User, class_key: str | None) -> None:
    """Raise PermissionDeniedError unless the viewer may act on a class (None: on users without one)."""
    require_staff(viewer)
    if not is_staff_of_class(viewer, class_key):
        raise PermissionDeniedError(f"A teacher acts on the own class only, which is {viewer.class_key!r:.100}.")


def require_staff_of(viewer: User, user: User) -> None:
    """Raise PermissionDeniedError for viewers who are no staff, and UserNotFoundError unless they may act on the user.

    For a teacher, users of other classes do not exist.
    """
    require_staff(viewer)
    if not is_staff_of(viewer, user):
        raise UserNotFoundError("There is no such user.")
