"""The access policy of images: who may see, change, delete and hide them."""

from dataclasses import dataclass
from typing import TypeAlias

from pixyproxy.domain.accounts.authority import is_admin
from pixyproxy.domain.errors import AuthenticationError, ImageNotFoundError, PermissionDeniedError
from pixyproxy.domain.image import Image, Visibility
from pixyproxy.domain.user import Role, User


@dataclass(frozen=True, slots=True)
class Staff:
    """A teacher with a class, or an administrator, whose `class_key` is None here: one who sees hidden images."""

    username: str
    class_key: str | None

    @property
    def is_admin(self) -> bool:
        """True for an administrator, who sees the hidden images of all."""
        return self.class_key is None


Viewer: TypeAlias = Staff | str | None
"""A caller: the staff, the username of anybody else, or None for an anonymous one."""


def viewer_of(user: User | None) -> Viewer:
    """Return a user as a viewer of images; a teacher without a class is like a student."""
    if user is None:
        return None
    if is_admin(user):
        return Staff(user.username, None)
    if user.role is Role.TEACHER and user.class_key is not None:
        return Staff(user.username, user.class_key)
    return user.username


def username_of(viewer: Viewer) -> str | None:
    """Return the username of a viewer, None for an anonymous one."""
    return viewer.username if isinstance(viewer, Staff) else viewer


def can_see(image: Image, viewer: Viewer, author: User | None = None) -> bool:
    """Return whether a viewer may see an image.

    All see public images; the author and the staff concerned hidden ones; the author alone private ones. `author` is
    the image's author as the roster has them now, None if they are not on it: it decides which teachers see it.
    """
    if is_author(image, viewer) or image.request.is_public:
        return True
    return image.request.visibility is Visibility.PUBLIC and is_staff_for(viewer, author)


def is_author(image: Image, viewer: Viewer) -> bool:
    """Return whether the viewer is the author of an image; images of anonymous callers have none."""
    return viewer is not None and image.request.author == username_of(viewer)


def is_staff_for(viewer: Viewer, author: User | None) -> bool:
    """Return whether the images of an author are the viewer's to hide: an administrator's, or those of its students."""
    if not isinstance(viewer, Staff) or viewer.is_admin:
        return isinstance(viewer, Staff)
    return author is not None and author.role is Role.STUDENT and author.class_key == viewer.class_key


def can_hide(image: Image, viewer: Viewer, author: User | None) -> bool:
    """Return whether `require_hider` lets this viewer pass."""
    return is_staff_for(viewer, author) and image.request.visibility is Visibility.PUBLIC


def require_author(image: Image, viewer: Viewer) -> None:
    """Raise AuthenticationError, ImageNotFoundError or PermissionDeniedError unless the viewer is the author."""
    require_login(viewer)
    if is_author(image, viewer):
        return
    if image.request.visibility is Visibility.PRIVATE:
        raise ImageNotFoundError("There is no such image.")
    raise PermissionDeniedError("Only the author of an image may change or delete it.")


def require_owner(image: Image, viewer: Viewer) -> None:
    """Raise as `require_author` does, unless the image has no author and the viewer is an administrator."""
    if image.request.author is not None or not (isinstance(viewer, Staff) and viewer.is_admin):
        require_author(image, viewer)


def require_hider(image: Image, viewer: Viewer, author: User | None) -> None:
    """Raise PermissionDeniedError unless the viewer may hide the image and show it again.

    Administrators may, and teachers if its `author` is a student of their class; private images nobody hides.
    """
    if not is_staff_for(viewer, author):
        raise PermissionDeniedError(
            "Only a teacher of the author's class, or an administrator, may hide an image or show it again."
        )
    if image.request.visibility is Visibility.PRIVATE:
        raise PermissionDeniedError("Only a public image can be hidden: this one is private.")


def require_link_maker(image: Image, viewer: Viewer) -> None:
    """Raise as `require_author` does, and PermissionDeniedError for a hidden image, which no signed URL opens."""
    require_author(image, viewer)
    if image.request.hidden:
        raise PermissionDeniedError("No link opens an image that is hidden.")


def require_linkable(image: Image) -> None:
    """Raise ImageNotFoundError for a hidden image: no signed URL opens it."""
    if image.request.hidden:
        raise ImageNotFoundError("There is no such image.")


def require_login(viewer: Viewer) -> None:
    """Raise AuthenticationError for an anonymous viewer."""
    if viewer is None:
        raise AuthenticationError("Log in to do this: anonymous callers may not change or delete an image.")
