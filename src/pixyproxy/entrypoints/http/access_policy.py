"""The rules on what a caller may do."""

from starlette.requests import Request

from pixyproxy.domain.access import Viewer, viewer_of
from pixyproxy.domain.errors import AuthenticationError
from pixyproxy.domain.user import User
from pixyproxy.settings import Anonymous


class AccessPolicy:
    """The rights of anonymous callers; a user who is logged in may read and write.

    `anonymous_may_read`: true if public images are visible without a login; `anonymous_may_write`: true if they may be
    created too.
    """

    def __init__(self, anonymous: Anonymous) -> None:
        self.anonymous_may_read = anonymous in {"read", "write"}
        self.anonymous_may_write = anonymous == "write"

    def require_reader(self, request: Request) -> Viewer:
        """Return the caller; raise AuthenticationError if the caller may not read."""
        return self._require(request, self.anonymous_may_read, "see images")

    def require_writer(self, request: Request) -> Viewer:
        """Return the caller; raise AuthenticationError if the caller may not create."""
        return self._require(request, self.anonymous_may_write, "create images")

    @staticmethod
    def require_user(request: Request) -> User:
        """Return the user who is logged in; raise AuthenticationError if nobody is."""
        user: User | None = request.scope["state"]["user"]
        if user is None:
            raise AuthenticationError("Log in to do this.")
        return user

    @staticmethod
    def _require(request: Request, anonymous_may: bool, purpose: str) -> Viewer:
        viewer = viewer_of(request.scope["state"]["user"])
        if viewer is None and not anonymous_may:
            raise AuthenticationError(f"Log in to {purpose}.")
        return viewer
