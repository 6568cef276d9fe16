"""Login sessions in an SQL database."""

from collections.abc import Sequence
from datetime import datetime

from pixyproxy.adapters.sql.database import SQLDatabase
from pixyproxy.adapters.sql.mapping import from_time, to_time
from pixyproxy.adapters.sql.repositories.roster import USER_COLUMNS, to_user
from pixyproxy.adapters.sql.repositories.sql_repository import SQLRepository
from pixyproxy.adapters.sql.session import Session, in_list
from pixyproxy.domain.accounts.login_session import LoginSession
from pixyproxy.domain.errors import UserNotFoundError
from pixyproxy.domain.user import User
from pixyproxy.ports.accounts.session_repository import SessionRepository

_BY_DIGESTS = f"""SELECT sessions.digest, sessions.`user`, sessions.password_digest, sessions.created_at,
    sessions.expires_at, {USER_COLUMNS}
    FROM sessions JOIN roster ON roster.`user` = sessions.`user` WHERE sessions.digest IN """
# MySQL's binary collation ignores trailing spaces in comparisons; the lengths distinguish them.
_USER = "SELECT 1 FROM roster WHERE `user` = :username AND LENGTH(`user`) = LENGTH(:username)"
_INSERT = """INSERT INTO sessions (digest, `user`, password_digest, created_at, expires_at)
    VALUES (:digest, :username, :password_digest, :created_at, :expires_at)"""
_THIS = "WHERE digest = :digest AND LENGTH(digest) = LENGTH(:digest)"
_EXTEND = f"UPDATE sessions SET expires_at = :expires_at {_THIS}"
_DELETE = f"DELETE FROM sessions {_THIS}"
_DELETE_EXPIRED = "DELETE FROM sessions WHERE expires_at <= :now"


class SQLSessionRepository(SQLRepository, SessionRepository):
    """Remembers login sessions in an SQL database.

    On MySQL, digests that differ only in trailing spaces are distinct when read, but only one can be added.
    """

    def __init__(self, database: SQLDatabase) -> None:
        super().__init__(database)
        self._load = database.data_loader(_find_all)

    async def add(self, session: LoginSession) -> None:
        values = {
            "digest": session.digest,
            "username": session.username,
            "password_digest": session.password_digest,
            "created_at": to_time(session.created_at),
            "expires_at": to_time(session.expires_at),
        }

        def insert(transaction: Session) -> None:
            # The user is locked until the session is in; the foreign key alone would ignore trailing spaces.
            if not transaction.fetch(_USER + transaction.row_lock, {"username": session.username}):
                raise UserNotFoundError("There is no such user.")
            transaction.change(_INSERT, values)

        await self._database.write(insert)

    async def find(self, digest: str) -> tuple[LoginSession, User] | None:
        return await self._load(digest)

    async def extend(self, digest: str, expires_at: datetime) -> None:
        values = {"digest": digest, "expires_at": to_time(expires_at)}
        await self._database.write(lambda transaction: transaction.change(_EXTEND, values))

    async def remove(self, digest: str) -> None:
        await self._database.write(lambda transaction: transaction.change(_DELETE, {"digest": digest}))

    async def remove_expired(self, now: datetime) -> None:
        await self._database.write(lambda transaction: transaction.change(_DELETE_EXPIRED, {"now": to_time(now)}))


def _find_all(transaction: Session, digests: Sequence[str]) -> dict[str, tuple[LoginSession, User]]:
    values, parameters = in_list(digests)
    found = {}
    for digest, username, password_digest, created_at, expires_at, *user in transaction.fetch(
        _BY_DIGESTS + values, parameters
    ):
        session = LoginSession(digest, username, password_digest, from_time(created_at), from_time(expires_at))
        found[digest] = session, to_user(user)
    return found
