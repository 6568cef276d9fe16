"""The transactions of the API key repositories, written once for every SQL server."""

from collections.abc import Sequence

from pixyproxy.adapters.sql.mapping import from_time, to_time
from pixyproxy.adapters.sql.session import Row, Session, in_list
from pixyproxy.domain.api_key import ApiKey
from pixyproxy.domain.errors import RecordNotFoundError, UserNotFoundError
from pixyproxy.domain.user import User

_COLUMNS = """api_keys.key_id, api_keys.`user`, api_keys.name, api_keys.digest, api_keys.created_at,
    api_keys.expires_at"""
_WITH_USER = ", ".join([_COLUMNS, "roster.class_key, roster.`password`"])
_BY_DIGESTS = "FROM api_keys JOIN roster ON roster.`user` = api_keys.`user` WHERE api_keys.digest IN "
_LIST = " ".join(["SELECT", _COLUMNS, "FROM api_keys"])
# The binary collation of MySQL ignores trailing spaces when it compares; lengths tell them apart.
_LIST_OF_USER = _LIST + " WHERE `user` = :username AND LENGTH(`user`) = LENGTH(:username)"
_USER = "SELECT 1 FROM roster WHERE `user` = :username AND LENGTH(`user`) = LENGTH(:username)"
_INSERT = """INSERT INTO api_keys (key_id, digest, `user`, name, created_at, expires_at)
    VALUES (:key_id, :digest, :username, :name, :created_at, :expires_at)"""
_DELETE = "DELETE FROM api_keys WHERE key_id = :key_id AND LENGTH(key_id) = LENGTH(:key_id)"


def add(session: Session, key: ApiKey) -> None:
    """Insert the key of a user who is there; raises UserNotFoundError."""
    # Locked, so that nobody removes the user before the key is in, whose foreign key would overlook trailing spaces.
    if not session.fetch(_USER + session.row_lock, {"username": key.username}):
        raise UserNotFoundError("There is no such user.")
    session.change(
        _INSERT,
        {
            "key_id": key.key_id,
            "digest": key.digest,
            "username": key.username,
            "name": key.name,
            "created_at": to_time(key.created_at),
            "expires_at": None if key.expires_at is None else to_time(key.expires_at),
        },
    )


def find_all(session: Session, digests: Sequence[str]) -> dict[str, tuple[ApiKey, User]]:
    """The keys with these digests, as far as there are any, and their users, by digest; looked up exactly."""
    values, parameters = in_list(digests)
    found = {}
    for *columns, class_key, password_hash in session.fetch_few(_WITH_USER, _BY_DIGESTS + values, parameters):
        key = _to_key(columns)
        found[key.digest] = key, User(key.username, class_key, password_hash)
    return found


def list_all(session: Session, username: str | None) -> tuple[ApiKey, ...]:
    """The keys of a user, or all; sorted here, so that no server's idea of order comes in."""
    rows = session.fetch(_LIST, {}) if username is None else session.fetch(_LIST_OF_USER, {"username": username})
    return tuple(sorted(map(_to_key, rows), key=lambda key: (key.username, key.created_at, key.key_id)))


def remove(session: Session, key_id: str) -> None:
    """Delete the key; raises RecordNotFoundError."""
    if not session.change(_DELETE, {"key_id": key_id}):
        raise RecordNotFoundError("There is no such key.")


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
