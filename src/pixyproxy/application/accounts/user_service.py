"""The use cases around users: authenticate, add, list, change, remove."""

import hashlib
import logging
import secrets
from datetime import datetime, timedelta

from pixyproxy.application.accounts.account_commands import AddUser, ChangePassword, ChangeRole
from pixyproxy.application.accounts.login_throttle import LoginThrottle
from pixyproxy.application.accounts.password_rules import PasswordRules
from pixyproxy.application.commands import validate
from pixyproxy.application.expiring_set import ExpiringSet
from pixyproxy.application.fair_places import FairPlaces
from pixyproxy.application.keyed_locks import KeyedLocks
from pixyproxy.domain.errors import AuthenticationError, ConstraintViolationError, NameReservedError, UserNotFoundError
from pixyproxy.domain.user import COMMAND_LINE, Role, User, UserChanges, compose
from pixyproxy.ports.accounts.user_repository import UserRepository
from pixyproxy.ports.clock import Clock
from pixyproxy.ports.passwords.password_hasher import PasswordHasher

logger = logging.getLogger(__name__)

_CACHED_FOR = timedelta(minutes=5)
_MAX_CACHED = 4096


def log_changes(by: str, username: str, changes: UserChanges) -> None:
    """Log who changed which fields of a user."""
    names = sorted("password" if name == "password_hash" else name for name in changes)
    logger.info("%s changed the user %s: %s", by, username, ", ".join(names))


class UserService:
    """The use cases of users; names and passwords are compared in Unicode's composed form.

    DataValidationError lists the faults of an input; UserNotFoundError is raised if there is no such user.
    """

    def __init__(
        self,
        users: UserRepository,
        hasher: PasswordHasher,
        rules: PasswordRules,
        clock: Clock,
        throttle: LoginThrottle,
        places: FairPlaces,
    ) -> None:
        """Take the places in which passwords are verified, each in the name of an address and an account."""
        self._users = users
        self._hasher = hasher
        self._rules = rules
        self._clock = clock
        self._throttle = throttle
        self._places = places
        # Verifying a password takes tens of milliseconds by design, so a verified pair of hash and password is cached
        # for a while, keyed with a secret of this process. The hash is read every time: a changed password or a
        # removed user takes effect at once.
        self._key = secrets.token_bytes(32)
        self._right = ExpiringSet(clock, _CACHED_FOR, _MAX_CACHED)
        self._wrong = ExpiringSet(clock, _CACHED_FOR, _MAX_CACHED)
        self._locks = KeyedLocks()

    async def authenticate(self, username: str, password: str, address: str) -> User:
        """Return the user with this name and password, for a login from an address.

        Raises:
            AuthenticationError: if one of them is wrong, without saying which.
            AccountPausedError: if both are right and the account is paused or no longer valid.
            TooManyLoginsError: if too many logins have failed, whether this one is right or not.
            PlacesTakenError: if too many passwords are being verified.
        """
        username, password = compose(username), compose(password)
        await self._throttle.require_room(username, address)
        try:
            user = await self._users.get(username)
        except UserNotFoundError:
            user = User(username)
        mark = self._mark(user, password)
        if not (mark in self._right and self._throttle.knows(username, address)):
            # Requests with the same credentials wait for the first of them, and count once.
            async with self._locks.hold((mark, address)), self._throttle.attempt(username, address, password):
                if not await self._is_right(mark, user, password, address):
                    raise AuthenticationError("Wrong username or password.")
        user.require_active(self._clock.now())
        return user

    async def add(
        self,
        username: str,
        password: str,
        class_key: str | None = None,
        *,
        role: Role | str = Role.STUDENT,
        valid_until: datetime | None = None,
        take_over: bool = False,
        set_by: str = COMMAND_LINE,
    ) -> User:
        """Add a user; with `take_over` under a reserved name too, with the pictures that name it as their author.

        `set_by` says who has chosen the password.

        Raises:
            NameReservedError: if it is the name of a removed user, or the author of pictures.
            ConstraintViolationError: if the name is taken.
        """
        values = {"username": username, "password": password, "class_key": class_key, "role": role}
        command = validate(AddUser, values)
        user = User(
            compose(command.username),
            command.class_key,
            await self._hash(command.username, command.password),
            role=command.role or Role.STUDENT,
            valid_until=valid_until,
            password_set_by=set_by,
        )
        try:
            await self._users.add(user, take_over=take_over)
        except NameReservedError:
            raise NameReservedError(
                f"The name {user.username!r} was that of a user who was removed, or pictures have it as their author: "
                "choose another name, or take it over if it is the same person (pixyproxy user add --take-over)."
            ) from None
        except ConstraintViolationError:
            raise ConstraintViolationError(f"There is a user {user.username!r} already.") from None
        logger.info("%s added the user %s (%s, class %s)", set_by, user.username, user.role, user.class_key)
        return user

    async def list(self) -> tuple[User, ...]:
        """Return all users, ordered by name."""
        return await self._users.list()

    async def change_password(self, username: str, password: str) -> None:
        """Set a new password in place of the user's, which ends the user's sessions."""
        command = validate(ChangePassword, {"username": username, "password": password})
        changes = await self.new_password(command.username, command.password, COMMAND_LINE)
        await self._change(command.username, changes)

    async def new_password(self, username: str, password: str, set_by: str | None) -> UserChanges:
        """Return the changes that give a user a new password, which somebody else (None: the user) has chosen.

        Raises:
            DataValidationError: if the user may not have it.
        """
        return {"password_hash": await self._hash(username, password), "password_set_by": set_by}

    async def change_role(self, username: str, role: Role | str) -> User:
        """Give a user another role, and return the user."""
        command = validate(ChangeRole, {"username": username, "role": role})
        return await self._change(command.username, {"role": command.role})

    async def pause(self, username: str) -> User:
        """Pause an account, so that no login is taken until it is resumed, and return the user."""
        return await self._change(username, {"paused": True})

    async def resume(self, username: str) -> User:
        """Resume an account that was paused, without the sessions of before, and return the user."""
        return await self._change(username, {"paused": False})

    async def has_admin(self) -> bool:
        """Return whether there is an administrator."""
        return bool(await self._users.page(after=None, limit=1, role=Role.ADMIN))

    async def remove(self, username: str) -> None:
        """Remove a user with all API keys, but not their images, and reserve the name."""
        await self._users.remove(compose(username))
        logger.info("%s removed the user %s", COMMAND_LINE, compose(username))

    async def _change(self, username: str, changes: UserChanges) -> User:
        """Change a user in the name of the command line."""
        user = await self._users.update(compose(username), changes)
        log_changes(COMMAND_LINE, user.username, changes)
        return user

    async def _hash(self, username: str, password: str) -> str:
        """Return the hash of a new password; raise DataValidationError if the user may not have it."""
        username, password = compose(username), compose(password)
        await self._rules.check(username, password)
        return await self._hasher.hash(password)

    async def _is_right(self, mark: bytes, user: User, password: str, address: str) -> bool:
        if mark in self._right or mark in self._wrong:
            return mark in self._right
        async with self._places.hold(f"address {address}", f"account {user.username}"):
            is_right = await self._hasher.verify(user.password_hash, password)
        (self._right if is_right else self._wrong).add(mark)
        return is_right

    def _mark(self, user: User, password: str) -> bytes:
        text = f"{user.username}\0{user.password_hash}\0{password}"
        return hashlib.blake2b(text.encode(errors="surrogatepass"), key=self._key, digest_size=32).digest()
