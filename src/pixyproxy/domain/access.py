"""The access policy of images; `viewer` is a username, or None for an anonymous caller."""

from pixyproxy.domain.errors import AuthenticationError, ImageNotFoundError, PermissionDeniedError
from pixyproxy.domain.image import Image, Visibility


def can_see(image: Image, viewer: str | None) -> bool:
    """Return whether a viewer may see an image: all see public ones, only authors private ones."""
    return image.request.visibility is Visibility.PUBLIC or is_author(image, viewer)


def is_author(image: Image, viewer: str | None) -> bool:
    """Return whether the viewer is the author of an image; images of anonymous callers have none."""
    return viewer is not None and image.request.author == viewer


def require_visible(image: Image, viewer: str | None) -> None:
    """Raise ImageNotFoundError, as for a missing image, unless the viewer may see the image."""
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
