"""API keys in an SQL database."""

from collections.abc import Sequence

from pixyproxy.adapters.sql.database import SQLDatabase
from pixyproxy.adapters.sql.mapping import from_time, to_time
from pixyproxy.adapters.sql.repositories.roster import USER_COLUMNS, to_user
from pixyproxy.adapters.sql.repositories.sql_repository import SQLRepository
from pixyproxy.adapters.sql.session import Parameters, Row, Session, in_list
from pixyproxy.domain.accounts.api_key import ApiKey
from pixyproxy.domain.errors import RecordNotFoundError, UserNotFoundError
from pixyproxy.domain.user import User
from pixyproxy.ports.accounts.api_key_repository import ApiKeyRepository

_COLUMNS = """api_keys.key_id, api_keys.`user`, api_keys.name, api_keys.digest, api_keys.created_at,
    api_keys.expires_at"""
_WIDTH = len(_COLUMNS.split(","))
_BY_DIGESTS = f"""SELECT {_COLUMNS}, {USER_COLUMNS}
    FROM api_keys JOIN roster ON roster.`user` = api_keys.`user` WHERE api_keys.digest IN """
_LIST = f"SELECT {_COLUMNS} FROM api_keys"
# MySQL's binary collation ignores trailing spaces in comparisons; the lengths distinguish them.
_LIST_OF_USER = _LIST + " WHERE `user` = :username AND LENGTH(`user`) = LENGTH(:username)"
_USER = "SELECT 1 FROM roster WHERE `user` = :username AND LENGTH(`user`) = LENGTH(:username)"
INSERT_KEY = """INSERT INTO api_keys (key_id, digest, `user`, name, created_at, expires_at)
    VALUES (:key_id, :digest, :username, :name, :created_at, :expires_at)"""
_DELETE = "DELETE FROM api_keys WHERE key_id = :key_id AND LENGTH(key_id) = LENGTH(:key_id)"


class SQLApiKeyRepository(SQLRepository, ApiKeyRepository):
    """Remembers API keys in an SQL database.

    On MySQL, ids and digests that differ only in trailing spaces are distinct when read, but only one can be added.
    """

    def __init__(self, database: SQLDatabase) -> None:
        super().__init__(database)
        self._load = database.data_loader(_find_all)

    async def add(self, key: ApiKey) -> None:
        def insert(session: Session) -> None:
            # The user is locked until the key is in; the foreign key alone would ignore trailing spaces.
            if not session.fetch(_USER + session.row_lock, {"username": key.username}):
                raise UserNotFoundError("There is no such user.")
            session.change(INSERT_KEY, key_row(key))

        await self._database.write(insert)

    async def find(self, digest: str) -> tuple[ApiKey, User] | None:
        return await self._load(digest)

    async def list(self, username: str | None = None) -> tuple[ApiKey, ...]:
        """Read the keys of a user, or all; sorted here, because servers sort text differently."""
        sql, values = (_LIST, {}) if username is None else (_LIST_OF_USER, {"username": username})
        rows = await self._database.read(lambda session: session.fetch(sql, values))
        return tuple(sorted(map(_to_key, rows), key=lambda key: (key.username, key.created_at, key.key_id)))

    async def remove(self, key_id: str) -> None:

        def delete(session: Session) -> None:
            if not session.change(_DELETE, {"key_id": key_id}):
                raise RecordNotFoundError("There is no such key.")

        await self._database.write(delete)


def key_row(key: ApiKey) -> Parameters:
    """Return the values of INSERT_KEY."""
    return {
        "key_id": key.key_id,
        "digest": key.digest,
        "username": key.username,
        "name": key.name,
        "created_at": to_time(key.created_at),
        "expires_at": None if key.expires_at is None else to_time(key.expires_at),
    }


def _find_all(session: Session, digests: Sequence[str]) -> dict[str, tuple[ApiKey, User]]:
    values, parameters = in_list(digests)
    found = {}
    for row in session.fetch(_BY_DIGESTS + values, parameters):
        key = _to_key(row[:_WIDTH])
        found[key.digest] = key, to_user(row[_WIDTH:])
    return found


def _to_key(row: Row) -> ApiKey:
    key_id, username, name, digest, created_at, expires_at = row
    return ApiKey(
        key_id=key_id,
        username=username,
        name=name,
        digest=digest,
        created_at=from_time(created_at),
        expires_at=None if expires_at is None else from_time(expires_at),
    )
