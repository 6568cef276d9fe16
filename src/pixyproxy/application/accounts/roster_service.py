"""The use cases of teachers and administrators around users, and of users around their own password."""

import logging
from typing import NamedTuple

from pixyproxy.application.accounts.account_commands import ChangeUser, ListUsers, NewUser
from pixyproxy.application.accounts.password_rules import PasswordRules
from pixyproxy.application.accounts.user_service import UserService, log_changes
from pixyproxy.application.commands import validate
from pixyproxy.application.fields import encode_name
from pixyproxy.domain.accounts import authority
from pixyproxy.domain.errors import AuthenticationError, DataValidationError, PermissionDeniedError
from pixyproxy.domain.money.charges import Amounts
from pixyproxy.domain.user import Role, User, UserChanges, compose
from pixyproxy.ports.accounts.user_repository import UserRepository
from pixyproxy.ports.clock import Clock
from pixyproxy.ports.money.ledger import Ledger

logger = logging.getLogger(__name__)


class Member(NamedTuple):
    """A user with the sums of this month's charges."""

    user: User
    month: Amounts


class RosterPage(NamedTuple):
    """A page of the roster, and the cursor at which it goes on, None at the end."""

    members: tuple[Member, ...]
    next_cursor: str | None


class RosterService:
    """The use cases of users who act on users; `viewer` is who asks.

    PermissionDeniedError is raised for viewers who are no staff, and UserNotFoundError for a user whom the viewer may
    not act on, as for a missing one. DataValidationError lists the faults of an input.
    """

    def __init__(
        self, users: UserRepository, accounts: UserService, rules: PasswordRules, ledger: Ledger, clock: Clock
    ) -> None:
        self._users = users
        self._accounts = accounts
        self._rules = rules
        self._ledger = ledger
        self._clock = clock

    async def list(self, viewer: User, data: object) -> RosterPage:
        """Return a page of the users whom the viewer may act on, ordered by name; `data` is `ListUsers`."""
        authority.require_staff(viewer)
        command = validate(ListUsers, data)
        class_key, role = command.class_key, None
        if not authority.is_admin(viewer):
            authority.require_staff_of_class(viewer, viewer.class_key if class_key is None else class_key)
            class_key, role = viewer.class_key, Role.STUDENT
        # One more than the page holds tells whether there is a next one.
        found = await self._users.page(after=command.cursor, limit=command.limit + 1, class_key=class_key, role=role)
        users = found[: command.limit]
        sums = await self._ledger.spending([user.username for user in users], self._clock.now())
        members = tuple(Member(user, sums.get(user.username, Amounts())) for user in users)
        return RosterPage(members, encode_name(users[-1].username) if len(found) > len(users) else None)

    async def add(self, viewer: User, data: object) -> tuple[User, str | None]:
        """Add a user, as `NewUser` describes one; return the user, and the password if one was made.

        Raises:
            NameReservedError, ConstraintViolationError: as `UserService.add` does.
        """
        authority.require_staff(viewer)
        command = validate(NewUser, data)
        class_key, role = command.class_key, command.role or Role.STUDENT
        if not authority.is_admin(viewer):
            class_key = viewer.class_key if class_key is None else class_key
            authority.require_staff_of_class(viewer, class_key)
            if role is not Role.STUDENT:
                raise PermissionDeniedError("A teacher adds students only: an administrator gives other roles.")
        made = self._rules.make() if command.password is None else None
        user = await self._accounts.add(
            command.username,
            command.password or made or "",
            class_key,
            role=role,
            valid_until=command.valid_until,
            set_by=viewer.username,
        )
        return user, made

    async def change(self, viewer: User, username: str, data: object, address: str) -> Member:
        """Change a user, as `ChangeUser` says, or the viewer's own password, and return the user.

        `address` is where the request came from: wrong current passwords are counted like failed logins.

        Raises:
            TooManyLoginsError, PlacesTakenError: as `UserService.authenticate` does.
        """
        username = compose(username)
        is_own = username == viewer.username
        if not is_own:
            authority.require_staff(viewer)
        command = validate(ChangeUser, data)
        if is_own:
            changes = await self._own_changes(viewer, command, address)
        else:
            user = await self.find(viewer, username)
            changes = await self._changes(viewer, user, command)
        changed = await self._users.update(username, changes)
        if changes:
            log_changes(viewer.username, username, changes)
        sums = await self._ledger.spending([username], self._clock.now())
        return Member(changed, sums.get(username, Amounts()))

    async def renew_password(self, viewer: User, username: str, address: str) -> str:
        """Give another user a password that is made, and return it; the errors are those of `change`."""
        made = self._rules.make()
        await self.change(viewer, username, {"password": made}, address)
        return made

    async def remove(self, viewer: User, username: str) -> None:
        """Remove a user with all API keys and sessions, but not their images, and reserve the name."""
        user = await self.find(viewer, username)
        if user.username == viewer.username:
            raise PermissionDeniedError("Nobody removes the own account: another administrator can.")
        await self._users.remove(user.username)
        logger.info("%s removed the user %s", viewer.username, user.username)

    async def find(self, viewer: User, username: str) -> User:
        """Return a user whom the viewer may act on."""
        authority.require_staff(viewer)
        user = await self._users.get(compose(username))
        authority.require_staff_of(viewer, user)
        return user

    async def _changes(self, viewer: User, user: User, command: ChangeUser) -> UserChanges:
        if command.current_password is not None:
            raise DataValidationError.at(("current_password",), "goes with your own password only")
        if not authority.is_admin(viewer) and command.model_fields_set & {"role", "class_key"}:
            raise PermissionDeniedError("Only an administrator changes roles and classes.")
        changes = _without_password(command)
        if command.password is not None:
            changes.update(await self._accounts.new_password(user.username, command.password, viewer.username))
        return changes

    async def _own_changes(self, viewer: User, command: ChangeUser, address: str) -> UserChanges:
        changes = _without_password(command)
        allowed = {"class_key"} if authority.is_admin(viewer) else set()
        if changes.keys() - allowed:
            raise PermissionDeniedError("Of the own account, only the password can be changed.")
        if command.password is None:
            return changes
        if command.current_password is None:
            raise DataValidationError.at(("current_password",), "must be given with a new password of your own")
        try:
            await self._accounts.authenticate(viewer.username, command.current_password, address)
        except AuthenticationError:
            raise PermissionDeniedError("The current password is wrong.") from None
        changes.update(await self._accounts.new_password(viewer.username, command.password, None))
        return changes


def _without_password(command: ChangeUser) -> UserChanges:
    changes: UserChanges = {}
    if command.paused is not None:
        changes["paused"] = command.paused
    if command.role is not None:
        changes["role"] = command.role
    if "valid_until" in command.model_fields_set:
        changes["valid_until"] = command.valid_until
    if "class_key" in command.model_fields_set:
        changes["class_key"] = command.class_key
    return changes
