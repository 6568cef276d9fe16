"""Middleware that finds out who is calling: HTTP Basic (RFC 7617) or an API key (RFC 6750)."""

import base64
import binascii

from starlette.types import ASGIApp, Receive, Scope, Send

from pixyproxy.application.accounts.key_service import KeyService
from pixyproxy.application.accounts.user_service import UserService
from pixyproxy.domain.errors import AuthenticationError
from pixyproxy.domain.user import User


class AuthenticationMiddleware:
    """Puts the user, or None without credentials, into `state["user"]`; wrong credentials are refused on every path."""

    def __init__(self, app: ASGIApp, users: UserService, keys: KeyService) -> None:
        self._app = app
        self._users = users
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            values = [value for name, value in scope["headers"] if name == b"authorization"]
            scope.setdefault("state", {})["user"] = await self._authenticate(values) if values else None
        await self._app(scope, receive, send)

    async def _authenticate(self, values: list[bytes]) -> User:
        """Return the user of the Authorization headers; raise AuthenticationError if they are wrong or several."""
        scheme, _, credentials = values[0].strip().partition(b" ")
        if len(values) == 1 and scheme.lower() == b"basic":
            if pair := _parse_basic(credentials.strip()):
                return await self._users.authenticate(*pair)
        elif len(values) == 1 and scheme.lower() == b"bearer":
            # Any bytes decode as Latin-1, and no key has a character beyond ASCII.
            return await self._keys.authenticate(credentials.strip().decode("latin-1"))
        raise AuthenticationError(
            "Send one Authorization header: Basic, with username:password in UTF-8 and base64, "
            "or Bearer with an API key (pxy_…)."
        )


def _parse_basic(credentials: bytes) -> tuple[str, str] | None:
    """Return username and password, or None if the credentials are malformed."""
    try:
        text = base64.b64decode(credentials, validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return None
    username, colon, password = text.partition(":")
    return (username, password) if colon and username else None
