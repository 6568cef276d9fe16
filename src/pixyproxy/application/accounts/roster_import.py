"""The use case that imports a file of users: all of its lines or none."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from pixyproxy.application.accounts.account_commands import ImportedUser
from pixyproxy.application.accounts.key_service import KeyService
from pixyproxy.application.accounts.password_rules import PasswordRules
from pixyproxy.application.accounts.roster_csv import ImportLine, at_line, read_roster, refuse
from pixyproxy.domain.accounts import authority
from pixyproxy.domain.accounts.api_key import ApiKey
from pixyproxy.domain.errors import (
    ConstraintViolationError,
    DataValidationError,
    FieldError,
    PermissionDeniedError,
    UserNotFoundError,
)
from pixyproxy.domain.user import COMMAND_LINE, Role, User, UserChanges, compose
from pixyproxy.ports.accounts.user_repository import UserRepository
from pixyproxy.ports.clock import Clock
from pixyproxy.ports.passwords.password_hasher import PasswordHasher

logger = logging.getLogger(__name__)

OnProgress = Callable[[int, int], object]
"""Receives the number of users whose passwords are done, and of all."""
_AT_ONCE = 2
_KEY_NAME = "import"
RESULT = ("user", "result", "class_key", "role", "password", "key")
"""The columns of the result."""


@dataclass(slots=True)
class ImportResult:
    """The outcome of a line; `password` and `key` are those that were made, to be shown once."""

    user: User
    outcome: str
    password: str | None = None
    key: str | None = None
    changes: UserChanges = field(default_factory=UserChanges)

    def row(self) -> tuple[str | None, ...]:
        """Return the cells under RESULT."""
        return (
            self.user.username,
            self.outcome,
            self.user.class_key,
            self.user.role.value,
            self.password,
            self.key,
        )


class RosterImport:
    """Imports files of users: adds those who are missing, and changes of the others what differs."""

    def __init__(
        self, users: UserRepository, keys: KeyService, hasher: PasswordHasher, rules: PasswordRules, clock: Clock
    ) -> None:
        self._users = users
        self._keys = keys
        self._hasher = hasher
        self._rules = rules
        self._clock = clock

    async def run(
        self,
        viewer: User | None,
        content: bytes,
        *,
        dry_run: bool = False,
        with_keys: bool = False,
        on_progress: OnProgress = lambda done, total: None,
    ) -> list[ImportResult]:
        """Import a file in the name of a viewer (None: the command line), and return the outcomes by line.

        Everything is written in one transaction. With `dry_run` nothing is, and no password or key is made. With
        `with_keys` each user of the file who has no API key gets one.

        Raises:
            PermissionDeniedError: The viewer is no staff.
            DataValidationError: The faults of the file, by line; nothing was changed.
            ConstraintViolationError, UserNotFoundError: Somebody else changed users meanwhile; nothing was changed.
        """
        if viewer is not None:
            authority.require_staff(viewer)
        lines = read_roster(content)
        existing = {user.username: user for user in await self._users.list()}
        new = {compose(line.user.user) for line in lines} - existing.keys()
        reserved = await self._users.find_reserved(new)
        errors: list[FieldError] = []
        done = 0

        async def plan(line: ImportLine) -> ImportResult | None:
            nonlocal done
            try:
                return await self._plan(viewer, line.user, existing, reserved, dry_run=dry_run)
            except DataValidationError as error:
                errors.extend(at_line(line.number, each) for each in error.errors)
            except (PermissionDeniedError, ConstraintViolationError) as error:
                errors.append(FieldError((f"line {line.number}", "user"), error.message))
            finally:
                done += 1
                on_progress(done, len(lines))
            return None

        planned: list[ImportResult | None] = []
        for first in range(0, len(lines), _AT_ONCE):
            planned += await asyncio.gather(*map(plan, lines[first : first + _AT_ONCE]))
        refuse(errors)
        results = [result for result in planned if result is not None]
        keys = await self._make_keys(results, dry_run=dry_run) if with_keys else []
        if dry_run:
            return results
        await self._users.apply(
            [result.user for result in results if result.outcome == "added"],
            {result.user.username: result.changes for result in results if result.changes},
            keys,
        )
        changed = sum(result.outcome != "unchanged" for result in results)
        by = COMMAND_LINE if viewer is None else viewer.username
        logger.info("%s imported %d users: %d added or changed, %d keys", by, len(results), changed, len(keys))
        return results

    async def _plan(
        self,
        viewer: User | None,
        line: ImportedUser,
        existing: dict[str, User],
        reserved: frozenset[str],
        *,
        dry_run: bool,
    ) -> ImportResult:
        name = compose(line.user)
        class_key = line.class_key
        by = COMMAND_LINE
        if viewer is not None:
            by = viewer.username
            self._check_line(viewer, line, existing.get(name))
            if class_key is None and not authority.is_admin(viewer):
                class_key = viewer.class_key
        if name in existing:
            return await self._plan_change(existing[name], line, by)
        if name in reserved:
            raise ConstraintViolationError("was that of a user who was removed, or pictures have it as their author")
        made = None
        if line.password is not None:
            await self._rules.check(name, compose(line.password))
        elif not dry_run:
            made = self._rules.make()
        password = line.password or made
        user = User(
            name,
            class_key,
            "" if dry_run or password is None else await self._hasher.hash(compose(password)),
            role=line.role or Role.STUDENT,
            valid_until=line.valid_until,
            password_set_by=by,
        )
        return ImportResult(user, "would be added" if dry_run else "added", made)

    @staticmethod
    def _check_line(viewer: User, line: ImportedUser, user: User | None) -> None:
        """Raise PermissionDeniedError unless the viewer may do what a line says."""
        if user is not None and user.username == viewer.username:
            raise PermissionDeniedError("is your own account: nobody imports that")
        if authority.is_admin(viewer):
            return
        if line.class_key is not None:
            authority.require_staff_of_class(viewer, line.class_key)
        if line.role not in {None, Role.STUDENT}:
            raise PermissionDeniedError("a teacher adds students only")
        if user is not None:
            try:
                authority.require_staff_of(viewer, user)
            except UserNotFoundError:
                raise PermissionDeniedError("the name is taken") from None

    async def _plan_change(self, user: User, line: ImportedUser, by: str) -> ImportResult:
        changes: UserChanges = {}
        if line.class_key not in {None, user.class_key}:
            changes["class_key"] = line.class_key
        if line.role is not None and line.role is not user.role:
            changes["role"] = line.role
        if line.valid_until not in {None, user.valid_until}:
            changes["valid_until"] = line.valid_until
        names = list[str](changes)
        if line.password is not None:
            password = compose(line.password)
            if not await self._hasher.verify(user.password_hash, password):
                await self._rules.check(user.username, password)
                changes["password_hash"] = await self._hasher.hash(password)
                changes["password_set_by"] = by
                names.append("password")
        outcome = f"changed: {', '.join(names)}" if names else "unchanged"
        return ImportResult(replace(user, **changes), outcome, changes=changes)

    async def _make_keys(self, results: list[ImportResult], *, dry_run: bool) -> list[ApiKey]:
        have = {key.username for key in await self._keys.list()}
        now, keys = self._clock.now(), list[ApiKey]()
        for result in results:
            if result.user.username not in have and not dry_run:
                result.key, key = self._keys.make(result.user.username, _KEY_NAME, now)
                keys.append(key)
        return keys
