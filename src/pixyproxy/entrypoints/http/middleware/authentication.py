"""Who is calling: HTTP Basic (RFC 7617) or an API key (RFC 6750) on every route, a public one too."""

import base64
import binascii

from starlette.types import ASGIApp, Receive, Scope, Send

from pixyproxy.application.accounts.key_service import KeyService
from pixyproxy.application.accounts.user_service import UserService
from pixyproxy.domain.errors import AuthenticationError
from pixyproxy.domain.user import User


class AuthenticationMiddleware:
    """Checks credentials where there are any and leaves the user, or None, in the state of the request."""

    def __init__(self, app: ASGIApp, users: UserService, keys: KeyService) -> None:
        self._app = app
        self._users = users
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            given = [value for name, value in scope["headers"] if name == b"authorization"]
            scope.setdefault("state", {})["user"] = await self._user(given) if given else None
        await self._app(scope, receive, send)

    async def _user(self, values: list[bytes]) -> User:
        """The user whom the Authorization headers name; raises AuthenticationError unless it is one, and right."""
        scheme, _, credentials = values[0].strip().partition(b" ")
        if len(values) == 1 and scheme.lower() == b"basic":
            if pair := _basic(credentials.strip()):
                return await self._users.authenticate(*pair)
        elif len(values) == 1 and scheme.lower() == b"bearer":
            # Whatever bytes there are become some text, and no key holds any of the odd ones.
            return await self._keys.authenticate(credentials.strip().decode("latin-1"))
        raise AuthenticationError(
            "Send one Authorization header: Basic, with username:password in UTF-8 and base64, "
            "or Bearer with an API key (pxy_…)."
        )


def _basic(credentials: bytes) -> tuple[str, str] | None:
    """Username and password; None if that is not what the credentials are."""
    try:
        text = base64.b64decode(credentials, validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return None
    username, colon, password = text.partition(":")
    return (username, password) if colon and username else None
