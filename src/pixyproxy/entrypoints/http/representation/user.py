"""A user as the API shows one."""

from typing import Any

from pixyproxy.application.accounts.roster_service import Member
from pixyproxy.domain.accounts.api_key import ApiKey
from pixyproxy.domain.money.amounts import format_usd
from pixyproxy.domain.user import User
from pixyproxy.entrypoints.http.representation.image_detail import present_time


def present_user(user: User) -> dict[str, Any]:
    """Return who a user is: `CurrentSession`."""
    return {"username": user.username, "class_key": user.class_key, "role": user.role.value}


def present_member(member: Member) -> dict[str, Any]:
    """Return `UserDetail`: what staff see of a user."""
    user, month = member
    return {
        **present_me(user),
        "paused": user.paused,
        "spent_usd": format_usd(month.spent),
        "reserved_usd": format_usd(month.reserved),
        "possibly_usd": format_usd(month.possibly),
    }


def present_key(key: ApiKey) -> dict[str, Any]:
    """Return `KeyDetail`."""
    return {
        "id": key.key_id,
        "name": key.name,
        "created_at": present_time(key.created_at),
        "expires_at": None if key.expires_at is None else present_time(key.expires_at),
    }


def present_me(user: User) -> dict[str, Any]:
    """Return what is said to a user about the own account: `Me`."""
    return {
        **present_user(user),
        "valid_until": None if user.valid_until is None else present_time(user.valid_until),
        "password_set_by": user.password_set_by,
    }
