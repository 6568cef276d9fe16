"""The roster of users in an SQL database."""

from collections.abc import Sequence

from pixyproxy.adapters.sql.backfill import RESERVE_NAME
from pixyproxy.adapters.sql.database import SQLDatabase
from pixyproxy.adapters.sql.repositories.sql_repository import SQLRepository
from pixyproxy.adapters.sql.session import Parameters, Row, Session, in_list
from pixyproxy.domain.errors import NameReservedError, UserNotFoundError
from pixyproxy.domain.user import User, name_key
from pixyproxy.ports.user_repository import UserRepository

_LIST = "SELECT `user`, class_key, `password` FROM roster"
_BY_NAMES = _LIST + " WHERE `user` IN "
_INSERT = "INSERT INTO roster (`user`, `password`, class_key) VALUES (:username, :password_hash, :class_key)"
# MySQL's binary collation ignores trailing spaces in comparisons; the lengths distinguish them.
_SET_HASH = """UPDATE roster SET `password` = :password_hash
    WHERE `user` = :username AND LENGTH(`user`) = LENGTH(:username)"""
_DELETE = "DELETE FROM roster WHERE `user` = :username AND LENGTH(`user`) = LENGTH(:username)"
_FREE_NAME = "DELETE FROM removed_users WHERE `user` = :username"
_RESERVED = """SELECT 1 WHERE EXISTS (SELECT 1 FROM removed_users WHERE name_key = :name_key)
    OR EXISTS (SELECT 1 FROM images WHERE author = :username AND LENGTH(author) = LENGTH(:username))"""


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
        return tuple(sorted(map(_to_user, rows), key=lambda user: user.username))

    async def add(self, user: User, *, take_over: bool = False) -> None:
        values = {"username": user.username, "password_hash": user.password_hash, "class_key": user.class_key}

        def add(session: Session) -> None:
            # First, so that a name that is taken is not called reserved.
            session.change(_INSERT, values)
            if take_over:
                session.change_later(_FREE_NAME, {"username": user.username})
            elif session.fetch(_RESERVED, {"username": user.username, "name_key": name_key(user.username)}):
                raise NameReservedError("The name is reserved.")

        await self._database.write(add)

    async def set_password_hash(self, username: str, password_hash: str) -> None:
        values = {"username": username, "password_hash": password_hash}
        await self._database.write(lambda session: _change(session, _SET_HASH, values))

    async def remove(self, username: str) -> None:
        def remove(session: Session) -> None:
            _change(session, _DELETE, {"username": username})
            session.change_later(_FREE_NAME, {"username": username})
            session.change_later(RESERVE_NAME, {"username": username, "name_key": name_key(username)})

        await self._database.write(remove)


def _change(session: Session, sql: str, values: Parameters) -> None:
    if not session.change(sql, values):
        raise _missing()


def _find_all(session: Session, usernames: Sequence[str]) -> dict[str, User]:
    values, parameters = in_list(usernames)
    return {user.username: user for user in map(_to_user, session.fetch(_BY_NAMES + values, parameters))}


def _to_user(row: Row) -> User:
    username, class_key, password_hash = row
    return User(username, class_key, password_hash)


def _missing() -> UserNotFoundError:
    return UserNotFoundError("There is no such user.")
