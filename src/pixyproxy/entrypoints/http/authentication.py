"""Who is calling: HTTP Basic (RFC 7617) on every route, a public one too."""

import base64
import binascii

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from pixyproxy.application.user_service import UserService
from pixyproxy.domain.errors import AuthenticationError
from pixyproxy.domain.user import User
from pixyproxy.settings import Anonymous


class AuthenticationMiddleware:
    """Checks credentials where there are any and leaves the user, or None, in the state of the request."""

    def __init__(self, app: ASGIApp, users: UserService) -> None:
        self._app = app
        self._users = users

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            given = [value for name, value in scope["headers"] if name == b"authorization"]
            user = await self._users.authenticate(*_basic(given)) if given else None
            scope.setdefault("state", {})["user"] = user
        await self._app(scope, receive, send)


class Gate:
    """The rule what an anonymous caller may do; who is logged in may do all of it."""

    def __init__(self, anonymous: Anonymous) -> None:
        self._may_read = anonymous in {"read", "write"}
        self._may_write = anonymous == "write"

    def reader(self, request: Request) -> str | None:
        """The username on whose behalf to read, None for anonymous; raises AuthenticationError if that may not."""
        return self._viewer(request, self._may_read, "see images")

    def writer(self, request: Request) -> str | None:
        """The username on whose behalf to create, None for anonymous; raises AuthenticationError if that may not."""
        return self._viewer(request, self._may_write, "create images")

    @staticmethod
    def user(request: Request) -> User:
        """The user who is logged in; raises AuthenticationError if nobody is."""
        user: User | None = request.scope["state"]["user"]
        if user is None:
            raise AuthenticationError("Log in to do this.")
        return user

    @staticmethod
    def _viewer(request: Request, anonymous_may: bool, what: str) -> str | None:
        user: User | None = request.scope["state"]["user"]
        if user is not None:
            return user.username
        if not anonymous_may:
            raise AuthenticationError(f"Log in to {what}.")
        return None


def _basic(values: list[bytes]) -> tuple[str, str]:
    """Username and password of an Authorization header; raises AuthenticationError unless there is one, well-formed."""
    scheme, _, token = values[0].strip().partition(b" ")
    if len(values) == 1 and scheme.lower() == b"basic":
        try:
            text = base64.b64decode(token.strip(), validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError):
            text = ""
        username, colon, password = text.partition(":")
        if colon and username:
            return username, password
    raise AuthenticationError("Send one Authorization header: Basic, with username:password in UTF-8 and base64.")
