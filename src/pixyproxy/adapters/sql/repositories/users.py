"""The transactions of the user repositories, written once for every SQL server."""

from collections.abc import Sequence

from pixyproxy.adapters.sql.session import Row, Session, in_list
from pixyproxy.domain.errors import UserNotFoundError
from pixyproxy.domain.user import User

# The binary collation of MySQL ignores trailing spaces when it compares; lengths tell them apart.
_COLUMNS = "`user`, class_key, `password`"
_BY_NAMES = "FROM roster WHERE `user` IN "
_LIST = " ".join(["SELECT", _COLUMNS, "FROM roster"])
_SELECT = _LIST + " WHERE `user` = :username AND LENGTH(`user`) = LENGTH(:username)"
_INSERT = "INSERT INTO roster (`user`, `password`, class_key) VALUES (:username, :password_hash, :class_key)"
_SET_HASH = """UPDATE roster SET `password` = :password_hash
    WHERE `user` = :username AND LENGTH(`user`) = LENGTH(:username)"""
_DELETE = "DELETE FROM roster WHERE `user` = :username AND LENGTH(`user`) = LENGTH(:username)"


def find(session: Session, username: str) -> User | None:
    """The user with this name, or None."""
    rows = session.fetch(_SELECT, {"username": username})
    return _to_user(rows[0]) if rows else None


def find_all(session: Session, usernames: Sequence[str]) -> dict[str, User]:
    """The users with these names, as far as there are any, by name; looked up exactly, trailing spaces too."""
    values, parameters = in_list(usernames)
    return {user.username: user for user in map(_to_user, session.fetch_few(_COLUMNS, _BY_NAMES + values, parameters))}


def list_all(session: Session) -> tuple[User, ...]:
    """All users, ordered by name; sorted here, so that no server's idea of order comes in."""
    users = map(_to_user, session.fetch(_LIST, {}))
    return tuple(sorted(users, key=lambda user: user.username))


def add(session: Session, user: User) -> None:
    """Insert the user."""
    session.change(
        _INSERT,
        {"username": user.username, "password_hash": user.password_hash, "class_key": user.class_key},
    )


def set_password_hash(session: Session, username: str, password_hash: str) -> None:
    """Replace the hash; raises UserNotFoundError."""
    parameters = {"username": username, "password_hash": password_hash}
    if not session.change(_SET_HASH, parameters):
        raise missing()


def remove(session: Session, username: str) -> None:
    """Delete the user; raises UserNotFoundError."""
    if not session.change(_DELETE, {"username": username}):
        raise missing()


def _to_user(row: Row) -> User:
    username, class_key, password_hash = row
    return User(username, class_key, password_hash)


def missing() -> UserNotFoundError:
    """The error for a name that nobody has."""
    return UserNotFoundError("There is no such user.")
