"""The roster of users in an SQL database."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pixyproxy.adapters.sql.backfill import RESERVE_NAME
from pixyproxy.adapters.sql.database import SQLDatabase
from pixyproxy.adapters.sql.mapping import to_time
from pixyproxy.adapters.sql.repositories.api_key_repository import INSERT_KEY, key_row
from pixyproxy.adapters.sql.repositories.roster import USER_COLUMNS, to_user
from pixyproxy.adapters.sql.repositories.sql_repository import SQLRepository
from pixyproxy.adapters.sql.session import Parameters, Session, in_list
from pixyproxy.domain.accounts.api_key import ApiKey
from pixyproxy.domain.errors import NameReservedError, UserNotFoundError
from pixyproxy.domain.user import Role, User, UserChanges, name_key
from pixyproxy.ports.accounts.user_repository import UserRepository

_LIST = f"SELECT {USER_COLUMNS} FROM roster"
_BY_NAMES = _LIST + " WHERE `user` IN "
_INSERT = """INSERT INTO roster (`user`, `password`, class_key, role, paused, valid_until, password_set_by)
    VALUES (:username, :password_hash, :class_key, :role, :paused, :valid_until, :password_set_by)"""
_COLUMN_OF = {"password_hash": "`password`"}
"""The columns whose names are not those of the fields."""
# MySQL's binary collation ignores trailing spaces in comparisons; the lengths distinguish them.
_THIS = " WHERE `user` = :username AND LENGTH(`user`) = LENGTH(:username)"
_GET = _LIST + _THIS
_DELETE = "DELETE FROM roster" + _THIS
_DELETE_SESSIONS = "DELETE FROM sessions" + _THIS
_FREE_NAME = "DELETE FROM removed_users WHERE `user` = :username"
_NAMES = "SELECT `user` FROM roster WHERE `user` IN "
_REMOVED = "SELECT DISTINCT name_key FROM removed_users WHERE name_key IN "
_AUTHORS = "SELECT DISTINCT author FROM images WHERE author IN "
_AT_ONCE = 500


class SQLUserRepository(SQLRepository, UserRepository):
    """Remembers users in an SQL database."""

    def __init__(self, database: SQLDatabase) -> None:
        super().__init__(database)
        self._load = database.data_loader(_find_all)

    async def get(self, username: str) -> User:
        user = await self._load(username)
        if user is None:
            raise _missing()
        return user

    async def list(self) -> tuple[User, ...]:
        """Read all users; sorted here, because servers sort text differently."""
        rows = await self._database.read(lambda session: session.fetch(_LIST, {}))
        return tuple(sorted(map(to_user, rows), key=lambda user: user.username))

    async def page(
        self, *, after: str | None, limit: int, class_key: str | None = None, role: Role | None = None
    ) -> tuple[User, ...]:
        conditions = ["1 = 1" if after is None else "`user` > :after"]
        if class_key is not None:
            conditions.append("class_key = :class_key AND LENGTH(class_key) = LENGTH(:class_key)")
        if role is Role.STUDENT:
            # Roles that are not known, written by hand, are students.
            conditions.append("role NOT IN ('teacher', 'admin')")
        elif role is not None:
            conditions.append("role = :role")
        sql = f"{_LIST} WHERE {' AND '.join(conditions)} ORDER BY `user` LIMIT :limit"
        values = {"after": after, "limit": limit, "class_key": class_key, "role": role and role.value}
        return tuple(map(to_user, await self._database.read(lambda session: session.fetch(sql, values))))

    async def add(self, user: User, *, take_over: bool = False) -> None:
        await self._database.write(lambda session: _add(session, user, take_over=take_over))

    async def find_reserved(self, usernames: Collection[str]) -> frozenset[str]:
        def find(session: Session) -> frozenset[str]:
            taken = _find(session, _NAMES, usernames)
            return frozenset(taken & set(usernames)) | _reserved(session, usernames)

        return await self._database.read(find)

    async def apply(
        self, additions: Sequence[User], updates: Mapping[str, UserChanges], keys: Sequence[ApiKey]
    ) -> None:
        """Write in few statements: a file may have thousands of users."""

        def apply(session: Session) -> None:
            session.insert_many(_INSERT, [_row(user) for user in additions])
            if _reserved(session, [user.username for user in additions]):
                raise NameReservedError("A name is reserved.")
            for username, changes in updates.items():
                _change_fields(session, username, changes)
            owners = {key.username for key in keys}
            if owners - _find(session, _NAMES, owners):
                raise _missing()
            session.insert_many(INSERT_KEY, [key_row(key) for key in keys])

        await self._database.write(apply)

    async def update(self, username: str, changes: UserChanges) -> User:
        return await self._database.write(lambda session: _update(session, username, changes))

    async def remove(self, username: str) -> None:
        def remove(session: Session) -> None:
            _change(session, _DELETE, {"username": username})
            session.change_later(_FREE_NAME, {"username": username})
            session.change_later(RESERVE_NAME, {"username": username, "name_key": name_key(username)})

        await self._database.write(remove)


def _add(session: Session, user: User, *, take_over: bool = False) -> None:
    # First, so that a name that is taken is not called reserved.
    session.change(_INSERT, _row(user))
    if take_over:
        session.change_later(_FREE_NAME, {"username": user.username})
    elif _reserved(session, [user.username]):
        raise NameReservedError("The name is reserved.")


def _row(user: User) -> Parameters:
    fields: UserChanges = {
        "class_key": user.class_key,
        "password_hash": user.password_hash,
        "role": user.role,
        "paused": user.paused,
        "valid_until": user.valid_until,
        "password_set_by": user.password_set_by,
    }
    return {"username": user.username, **_values(fields)}


def _update(session: Session, username: str, changes: UserChanges) -> User:
    _change_fields(session, username, changes)
    rows = session.fetch(_GET, {"username": username})
    if not rows:
        raise _missing()
    return to_user(rows[0])


def _change_fields(session: Session, username: str, changes: UserChanges) -> None:
    if changes:
        assignments = ", ".join(f"{_COLUMN_OF.get(name, name)} = :{name}" for name in changes)
        _change(session, f"UPDATE roster SET {assignments}{_THIS}", {"username": username, **_values(changes)})
    if changes.get("paused") is False:
        session.change_later(_DELETE_SESSIONS, {"username": username})


def _reserved(session: Session, usernames: Collection[str]) -> frozenset[str]:
    """Return those of these names that are reserved."""
    key_of = {name: name_key(name) for name in usernames}
    removed = _find(session, _REMOVED, set(key_of.values()))
    authors = _find(session, _AUTHORS, usernames)
    return frozenset(name for name, key in key_of.items() if key in removed or name in authors)


def _find(session: Session, sql: str, values: Collection[str]) -> set[str]:
    """Return the results of a query that ends in IN for these values."""
    found, left = set[str](), list(values)
    while left:
        names, parameters = in_list(left[:_AT_ONCE])
        found |= {text for (text,) in session.fetch(sql + names, parameters)}
        left = left[_AT_ONCE:]
    return found


def _change(session: Session, sql: str, values: Parameters) -> None:
    if not session.change(sql, values):
        raise _missing()


def _find_all(session: Session, usernames: Sequence[str]) -> dict[str, User]:
    values, parameters = in_list(usernames)
    return {user.username: user for user in map(to_user, session.fetch(_BY_NAMES + values, parameters))}


def _values(changes: UserChanges) -> Parameters:
    """Return fields as the columns hold them."""
    values: dict[str, Any] = dict(changes)
    if "role" in changes:
        values["role"] = changes["role"].value
    if "paused" in changes:
        values["paused"] = int(changes["paused"])
    if (end := changes.get("valid_until")) is not None:
        values["valid_until"] = to_time(end)
    return values


def _missing() -> UserNotFoundError:
    return UserNotFoundError("There is no such user.")
