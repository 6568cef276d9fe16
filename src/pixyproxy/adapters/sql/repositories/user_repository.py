"""The roster of users in an SQL database."""

from collections.abc import Sequence

from pixyproxy.adapters.sql.database import SQLDatabase
from pixyproxy.adapters.sql.repositories.sql_repository import SQLRepository
from pixyproxy.adapters.sql.session import Parameters, Row, Session, in_list
from pixyproxy.domain.errors import UserNotFoundError
from pixyproxy.domain.user import User
from pixyproxy.ports.user_repository import UserRepository

_LIST = "SELECT `user`, class_key, `password` FROM roster"
_BY_NAMES = _LIST + " WHERE `user` IN "
_INSERT = "INSERT INTO roster (`user`, `password`, class_key) VALUES (:username, :password_hash, :class_key)"
# MySQL's binary collation ignores trailing spaces in comparisons; the lengths distinguish them.
_SET_HASH = """UPDATE roster SET `password` = :password_hash
    WHERE `user` = :username AND LENGTH(`user`) = LENGTH(:username)"""
_DELETE = "DELETE FROM roster WHERE `user` = :username AND LENGTH(`user`) = LENGTH(:username)"


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

    async def add(self, user: User) -> None:
        values = {"username": user.username, "password_hash": user.password_hash, "class_key": user.class_key}
        await self._database.write(lambda session: session.change(_INSERT, values))

    async def set_password_hash(self, username: str, password_hash: str) -> None:
        await self._change(_SET_HASH, {"username": username, "password_hash": password_hash})

    async def remove(self, username: str) -> None:
        await self._change(_DELETE, {"username": username})

    async def _change(self, sql: str, values: Parameters) -> None:
        def change(session: Session) -> None:
            if not session.change(sql, values):
                raise _missing()

        await self._database.write(change)


def _find_all(session: Session, usernames: Sequence[str]) -> dict[str, User]:
    values, parameters = in_list(usernames)
    return {user.username: user for user in map(_to_user, session.fetch(_BY_NAMES + values, parameters))}


def _to_user(row: Row) -> User:
    username, class_key, password_hash = row
    return User(username, class_key, password_hash)


def _missing() -> UserNotFoundError:
    return UserNotFoundError("There is no such user.")
