"""The use cases around users: authenticate, add, list, change password, remove."""

import hashlib
import secrets
import unicodedata
from collections import OrderedDict
from datetime import datetime, timedelta

from pixyproxy.application.commands import AddUser, ChangePassword, validate
from pixyproxy.domain.errors import AuthenticationError, ConstraintViolationError, UserNotFoundError
from pixyproxy.domain.user import User
from pixyproxy.ports.clock import Clock
from pixyproxy.ports.password_hasher import PasswordHasher
from pixyproxy.ports.user_repository import UserRepository

_REMEMBER = timedelta(minutes=5)
_MAX_REMEMBERED = 4096


class UserService:
    """Who may log in.

    Names and passwords are compared in Unicode's composed form (NFC), so that the same text typed on
    different systems is the same (compare RFC 8265).
    """

    def __init__(self, users: UserRepository, hasher: PasswordHasher, clock: Clock) -> None:
        self._users = users
        self._hasher = hasher
        self._clock = clock
        # Checking a password costs tens of milliseconds by design. A pair of hash and password that was
        # found right is remembered for a while, under a key that dies with the process; since the hash is
        # read anew each time, a changed password or a removed user takes effect at once.
        self._key = secrets.token_bytes(32)
        self._verified: OrderedDict[bytes, datetime] = OrderedDict()

    async def authenticate(self, username: str, password: str) -> User:
        """The user with this name and password; raises AuthenticationError without saying which was wrong.

        Raises CapacityExceededError when too many passwords are being checked.
        """
        try:
            username, password = _composed(username), _composed(password)
            user = await self._users.get(username)
        except UserNotFoundError:
            user = User(username)
        if await self._is_right(user, password):
            return user
        raise AuthenticationError("Wrong username or password.")

    async def add(self, username: str, password: str, class_key: str | None = None) -> User:
        """Add a user; raises DataValidationError, or ConstraintViolationError if the name is taken."""
        command = validate(AddUser, {"username": username, "password": password, "class_key": class_key})
        password_hash = await self._hasher.hash(_composed(command.password))
        user = User(_composed(command.username), command.class_key, password_hash)
        try:
            await self._users.add(user)
        except ConstraintViolationError:
            raise ConstraintViolationError(f"There is a user {user.username!r} already.") from None
        return user

    async def list(self) -> tuple[User, ...]:
        """All users, ordered by name."""
        return await self._users.list()

    async def change_password(self, username: str, password: str) -> None:
        """Set a new password; raises DataValidationError or UserNotFoundError."""
        command = validate(ChangePassword, {"username": username, "password": password})
        password_hash = await self._hasher.hash(_composed(command.password))
        await self._users.set_password_hash(_composed(command.username), password_hash)

    async def remove(self, username: str) -> None:
        """Remove a user, leaving their images; raises UserNotFoundError."""
        await self._users.remove(_composed(username))

    async def _is_right(self, user: User, password: str) -> bool:
        mark = hashlib.blake2b(
            f"{user.password_hash}\0{password}".encode(errors="surrogatepass"), key=self._key, digest_size=32
        ).digest()
        now = self._clock.now()
        expires = self._verified.get(mark)
        if expires is not None and now < expires:
            return True
        if not await self._hasher.verify(user.password_hash, password):
            return False
        self._verified[mark] = now + _REMEMBER
        self._verified.move_to_end(mark)
        while len(self._verified) > _MAX_REMEMBERED:
            self._verified.popitem(last=False)
        return True


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)
