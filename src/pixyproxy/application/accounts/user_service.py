"""The use cases around users: authenticate, add, list, change password, remove."""

import hashlib
import secrets
from collections import OrderedDict
from datetime import datetime, timedelta

from pixyproxy.application.commands import AddUser, ChangePassword, validate
from pixyproxy.domain.errors import AuthenticationError, ConstraintViolationError, NameReservedError, UserNotFoundError
from pixyproxy.domain.user import User, compose
from pixyproxy.ports.clock import Clock
from pixyproxy.ports.password_hasher import PasswordHasher
from pixyproxy.ports.user_repository import UserRepository

_CACHED_FOR = timedelta(minutes=5)
_MAX_CACHED = 4096


class UserService:
    """The use cases of users; names and passwords are compared in Unicode's composed form.

    DataValidationError lists the faults of an input; UserNotFoundError is raised if there is no such user.
    """

    def __init__(self, users: UserRepository, hasher: PasswordHasher, clock: Clock) -> None:
        self._users = users
        self._hasher = hasher
        self._clock = clock
        # Verifying a password takes tens of milliseconds by design, so a verified pair of hash and password is cached
        # for a while, keyed with a secret of this process. The hash is read every time: a changed password or a
        # removed user takes effect at once.
        self._key = secrets.token_bytes(32)
        self._verified_until: OrderedDict[bytes, datetime] = OrderedDict()

    async def authenticate(self, username: str, password: str) -> User:
        """Return the user with this name and password.

        Raises:
            AuthenticationError: if one of them is wrong, without saying which.
            CapacityExceededError: if too many passwords are being verified.
        """
        try:
            username, password = compose(username), compose(password)
            user = await self._users.get(username)
        except UserNotFoundError:
            user = User(username)
        if await self._is_right(user, password):
            return user
        raise AuthenticationError("Wrong username or password.")

    async def add(self, username: str, password: str, class_key: str | None = None, *, take_over: bool = False) -> User:
        """Add a user; with `take_over` under a reserved name too, with the pictures that name it as their author.

        Raises:
            NameReservedError: if it is the name of a removed user, or the author of pictures.
            ConstraintViolationError: if the name is taken.
        """
        command = validate(AddUser, {"username": username, "password": password, "class_key": class_key})
        password_hash = await self._hasher.hash(compose(command.password))
        user = User(compose(command.username), command.class_key, password_hash)
        try:
            await self._users.add(user, take_over=take_over)
        except NameReservedError:
            raise NameReservedError(
                f"The name {user.username!r} was that of a user who was removed, or pictures have it as their author: "
                "choose another name, or take it over (--take-over) if it is the same person."
            ) from None
        except ConstraintViolationError:
            raise ConstraintViolationError(f"There is a user {user.username!r} already.") from None
        return user

    async def list(self) -> tuple[User, ...]:
        """Return all users, ordered by name."""
        return await self._users.list()

    async def change_password(self, username: str, password: str) -> None:
        """Set a new password."""
        command = validate(ChangePassword, {"username": username, "password": password})
        password_hash = await self._hasher.hash(compose(command.password))
        await self._users.set_password_hash(compose(command.username), password_hash)

    async def remove(self, username: str) -> None:
        """Remove a user with all API keys, but not their images, and reserve the name."""
        await self._users.remove(compose(username))

    async def _is_right(self, user: User, password: str) -> bool:
        mark = hashlib.blake2b(
            f"{user.password_hash}\0{password}".encode(errors="surrogatepass"), key=self._key, digest_size=32
        ).digest()
        now = self._clock.now()
        expires = self._verified_until.get(mark)
        if expires is not None and now < expires:
            return True
        if not await self._hasher.verify(user.password_hash, password):
            return False
        self._verified_until[mark] = now + _CACHED_FOR
        self._verified_until.move_to_end(mark)
        if len(self._verified_until) > _MAX_CACHED:
            self._verified_until.popitem(last=False)
        return True
