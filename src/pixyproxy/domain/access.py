"""The rule who may see and who may change an image; `viewer` is a username, or None for anonymous."""

from pixyproxy.domain.errors import AuthenticationError, ImageNotFoundError, PermissionDeniedError
from pixyproxy.domain.image import Image, Visibility


def can_see(image: Image, viewer: str | None) -> bool:
    """Public images are seen by all, private ones by their author only."""
    return image.request.visibility is Visibility.PUBLIC or is_author(image, viewer)


def is_author(image: Image, viewer: str | None) -> bool:
    """Whether the viewer made this image; what was made anonymously has no author."""
    return viewer is not None and image.request.author == viewer


def require_visible(image: Image, viewer: str | None) -> None:
    """Raise ImageNotFoundError, the same as for a missing image, unless the viewer may see it."""
    if not can_see(image, viewer):
        raise ImageNotFoundError("There is no such image.")


def require_author(image: Image, viewer: str | None) -> None:
    """Raise AuthenticationError, ImageNotFoundError or PermissionDeniedError unless the viewer is the author."""
    require_login(viewer)
    require_visible(image, viewer)
    if not is_author(image, viewer):
        raise PermissionDeniedError("Only the author of an image may change or delete it.")


def require_login(viewer: str | None) -> None:
    """Raise AuthenticationError for an anonymous viewer."""
    if viewer is None:
        raise AuthenticationError("Log in to do this: only its author may change or delete an image.")
