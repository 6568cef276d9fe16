"""Schemas of response bodies about users, sessions and keys, for the OpenAPI document."""

from datetime import datetime

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from pixyproxy.domain.user import Role
from pixyproxy.entrypoints.http.representation.schemas import ResponseSchema


class LoggedIn(ResponseSchema):
    """The user who is logged in."""

    username: str = Field(examples=["alice"])
    class_key: str | None = Field(examples=["cs101"])
    role: Role


class Me(LoggedIn):
    """The user who is logged in, and the state of the account."""

    valid_until: datetime | None = Field(description="The end of the account; null: none.")
    password_set_by: str | None = Field(
        description="Who set the password, if it was somebody else: a username, or `command line`.", examples=["miller"]
    )


class UserDetail(Me):
    """A user as staff see one, with what was spent in this month (UTC), in US dollars as decimal text."""

    paused: bool
    spent_usd: str = Field(examples=["3.174000"])
    reserved_usd: str = Field(description="For pictures that are being made.", examples=["0.071430"])
    possibly_usd: str = Field(description="For pictures that are `unknown`.", examples=["0.000000"])


class AddedUser(UserDetail):
    """A user who was added."""

    password: str | SkipJsonSchema[None] = Field(
        None, description="Only if it was made: it is not shown again.", examples=["kp7m-xw3q-9tfh"]
    )


class KeyDetail(ResponseSchema):
    """An API key, without its secret."""

    id: str = Field(examples=["AbCdEfGh"])
    name: str | None = Field(examples=["my laptop"])
    created_at: datetime
    expires_at: datetime | None = Field(description="Null: never.")


class AddedKey(KeyDetail):
    """An API key that was made."""

    key: str = Field(description="The key itself: it is not shown again.", examples=["pxy_AbCdEfGh…"])


class CurrentSession(ResponseSchema):
    """The user of the session; without one `username` is null, and the rest is left out."""

    username: str | None = Field(examples=["alice"])
    class_key: str | None = Field(None, examples=["cs101"])
    role: Role | SkipJsonSchema[None] = None
