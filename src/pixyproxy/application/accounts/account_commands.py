"""The inputs of the use cases around users, sessions and keys."""

from typing import Literal

from pydantic import Field

from pixyproxy.application.commands import Command
from pixyproxy.application.fields import (
    AnyRole,
    ClassKey,
    KeyEnd,
    KeyName,
    NameCursor,
    NewUsername,
    Password,
    Time,
    Username,
)


class AddUser(Command):
    """A user to add to the roster."""

    username: NewUsername
    password: Password
    class_key: ClassKey | None = None
    role: AnyRole | None = None


class ChangePassword(Command):
    """A new password for a user."""

    username: Username
    password: Password


class ChangeRole(Command):
    """A new role for a user."""

    username: Username
    role: AnyRole


class LogIn(Command):
    """The credentials of a user who logs in."""

    username: Password = Field(examples=["alice"])
    password: Password = Field(examples=["a good long password"])


class AddKey(Command):
    """An API key to add for a user."""

    username: Username
    name: KeyName | None = None
    expires: KeyEnd | None = None


class NewKey(Command):
    """An API key to make for oneself."""

    name: KeyName | None = Field(None, description="The purpose of the key.", examples=["my laptop"])
    expires: KeyEnd | None = Field(
        None,
        description="The end of the key: a duration such as `12h`, `30d` or `8w`, or a time in ISO 8601. "
        "Left out: never.",
        examples=["30d"],
    )


class NewUser(Command):
    """A user to add in the name of a teacher or an administrator."""

    username: NewUsername = Field(examples=["alice"])
    password: Password | None = Field(
        None, description="Left out: one is made, and shown once in the response.", examples=["a good long password"]
    )
    class_key: ClassKey | None = Field(
        None, description="Left out by a teacher: the own class, the only one a teacher may name.", examples=["9a"]
    )
    role: AnyRole | None = Field(
        None, description="`student` if left out; others are for administrators to give.", examples=["student"]
    )
    valid_until: Time | None = Field(
        None, description="The end of the account (ISO 8601). Left out: none.", examples=["2027-07-31T00:00:00Z"]
    )


class ChangeUser(Command):
    """Changes of a user; fields left out (or null) stay as they are, but null takes a class and an end away."""

    password: Password | None = Field(
        None, description="Ends the sessions of the user.", examples=["a good long password"]
    )
    current_password: Password | None = Field(
        None, description="Only, and always, with a new password of your own.", examples=["a good long password"]
    )
    paused: bool | None = Field(
        None, description="A paused user may not log in. Resumed, the user logs in anew.", examples=[False]
    )
    valid_until: Time | None = Field(
        None, description="The end of the account (ISO 8601).", examples=["2027-07-31T00:00:00Z"]
    )
    role: AnyRole | None = Field(None, description="For administrators to change.", examples=["student"])
    class_key: ClassKey | None = Field(None, description="For administrators to change.", examples=["9a"])


class ImportedUser(Command):
    """A line of a file of users; an empty cell says nothing."""

    user: NewUsername
    password: Password | None = None
    class_key: ClassKey | None = None
    role: AnyRole | None = None
    valid_until: Time | None = None


class ImportUsers(Command):
    """Options of the import of a file of users."""

    dry_run: Literal["0", "1"] = Field("0", description="`1`: only say what would change.")
    keys: Literal["0", "1"] = Field("0", description="`1`: make an API key for each user who has none.")


class ListUsers(Command):
    """A page of the roster."""

    limit: int = Field(50, ge=1, le=200, description="How many users a page has at most.")
    cursor: NameCursor | None = Field(
        None, description="Where to go on: taken from the `Link` header of the page before."
    )
    class_key: ClassKey | None = Field(None, description="Only users of this class.")
