"""The columns of the roster, whose rows people add by hand too, and the mapping from a row to a user."""

from datetime import UTC, datetime

from pixyproxy.adapters.sql.session import Row
from pixyproxy.domain.user import Role, User

USER_COLUMNS = """roster.`user`, roster.class_key, roster.`password`, roster.role, roster.paused, roster.valid_until,
    roster.password_set_by"""
"""The columns that `to_user` reads."""
_ROLES = {role.value: role for role in Role}


def to_user(row: Row) -> User:
    """Return the user of a row; a role that is not known has no rights, and an end that is no time has passed."""
    username, class_key, password_hash, role, paused, valid_until, password_set_by = row
    return User(
        username,
        class_key,
        password_hash,
        role=_ROLES.get(role, Role.STUDENT),
        paused=bool(paused),
        valid_until=None if valid_until is None else _to_end(valid_until),
        password_set_by=password_set_by,
    )


def _to_end(text: str) -> datetime:
    try:
        end = datetime.fromisoformat(text)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return end.replace(tzinfo=UTC) if end.tzinfo is None else end.astimezone(UTC)
