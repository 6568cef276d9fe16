"""The use cases around API keys, on in-memory adapters."""

import hmac
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from pixyproxy.adapters.memory.api_key_repository import MemoryApiKeyRepository
from pixyproxy.adapters.memory.storage import MemoryStorage
from pixyproxy.adapters.memory.user_repository import MemoryUserRepository
from pixyproxy.application.accounts.key_service import KeyService
from pixyproxy.domain import errors
from pixyproxy.domain.derived_key import derive_key
from pixyproxy.domain.user import User
from tests.fixtures.core import SteppingClock

SECRET = b"s" * 32
DAY = timedelta(days=1)


@dataclass
class House:
    """A key service and what it stands on."""

    service: KeyService
    storage: MemoryStorage
    clock: SteppingClock


@pytest.fixture
def house() -> House:
    storage, clock = MemoryStorage(), SteppingClock()
    for name in ("alice", "bob", "Zoë"):
        storage.users[name] = User(name, "cs101", "hash")
    return House(KeyService(MemoryApiKeyRepository(storage), clock, lambda: SECRET), storage, clock)


async def refused(house: House, token: str) -> str:
    with pytest.raises(errors.AuthenticationError) as caught:
        await house.service.authenticate(token)
    assert token == "" or token not in caught.value.message
    return caught.value.message


async def test_a_key_is_its_user(house: House) -> None:
    token, key = await house.service.add("alice", name="my laptop")
    assert re.fullmatch(r"pxy_[0-9A-Za-z]{43}", token)
    assert (key.key_id, key.username, key.name, key.expires_at) == (token[4:12], "alice", "my laptop", None)
    assert await house.service.authenticate(token) == User("alice", "cs101", "hash")
    other, _ = await house.service.add("bob")
    assert (await house.service.authenticate(other)).username == "bob"


async def test_a_span_begins_when_the_key_is_made(house: House) -> None:
    _, key = await house.service.add("alice", expires_in=DAY)
    assert key.expires_at is not None
    assert key.expires_at - key.created_at == DAY
    with pytest.raises(errors.DataValidationError, match="expires_at"):
        await house.service.add("alice", expires_in=timedelta())


async def test_the_store_sees_a_keyed_hash_only(house: House) -> None:
    token, key = await house.service.add("alice")
    expected = hmac.digest(derive_key(SECRET, "api-keys"), token.encode(), "sha256").hex()
    assert house.storage.api_keys == {key.key_id: key}
    assert key.digest == expected
    assert token[12:] not in repr(house.storage)
    assert expected not in repr(key)


async def test_another_secret_opens_nothing(house: House) -> None:
    token, _ = await house.service.add("alice")
    other = KeyService(MemoryApiKeyRepository(house.storage), house.clock, lambda: b"t" * 32)
    with pytest.raises(errors.AuthenticationError):
        await other.authenticate(token)


async def test_the_secret_is_asked_for_when_it_is_needed(house: House) -> None:
    asked: list[bytes] = []

    def secret() -> bytes:
        asked.append(SECRET)
        return SECRET

    service = KeyService(MemoryApiKeyRepository(house.storage), house.clock, secret)
    await service.list()
    assert asked == []
    token, _ = await service.add("alice")
    await service.authenticate(token)
    assert asked == [SECRET]


async def test_wrong_malformed_expired_and_revoked_are_told_alike(house: House) -> None:
    token, key = await house.service.add("alice", expires_at=house.clock.now() + DAY)
    wrong = token[:-1] + ("a" if token[-1] != "a" else "b")
    said = {await refused(house, wrong)}
    for malformed in ("", "pxy_", "sk-x", token[4:], token.upper(), token[:-1], token + "a", token + "é",
                      f" {token}", token + "\n", "pxy_" + "é" * 43, "pxy_" + "-" * 43,
                      "pxy_" + "٣" * 43, key.digest, key.key_id):  # fmt: skip
        said.add(await refused(house, malformed))
    house.clock.advance(DAY)
    said.add(await refused(house, token))
    revoked, key = await house.service.add("alice")
    await house.service.revoke(key.key_id)
    said.add(await refused(house, revoked))
    assert len(said) == 1


async def test_a_key_opens_until_the_very_moment_it_ends(house: House) -> None:
    end = house.clock.now() + DAY
    token, key = await house.service.add("alice", expires_at=end)
    assert key.expires_at == end
    # The clock goes on by a second whenever it is read.
    house.clock.advance(end - house.clock.now() - timedelta(seconds=2))
    assert (await house.service.authenticate(token)).username == "alice"
    await refused(house, token)


async def test_the_keys_of_a_removed_user_open_nothing(house: House) -> None:
    token, _ = await house.service.add("alice")
    users = MemoryUserRepository(house.storage)
    await users.remove("alice")
    await refused(house, token)
    await users.add(User("alice"))
    await refused(house, token)


async def test_they_are_listed_by_user_and_age(house: House) -> None:
    made = [(await house.service.add(name))[1] for name in ("bob", "alice", "alice")]
    assert await house.service.list() == (made[1], made[2], made[0])
    assert await house.service.list("bob") == (made[0],)
    assert await house.service.list("nobody") == ()


async def test_names_of_users_are_composed(house: House) -> None:
    token, key = await house.service.add("Zoe\u0308")
    assert key.username == (await house.service.authenticate(token)).username == "Zoë"
    assert await house.service.list("Zoe\u0308") == (key,)


async def test_a_time_without_a_zone_is_utc_and_text_will_do(house: House) -> None:
    end = datetime(2030, 1, 1, 12)
    for given in (end, "2030-01-01T12:00", "2030-01-01T13:00+01:00"):
        _, key = await house.service.add("alice", expires_at=given)
        assert key.expires_at == end.replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"name": ""}, "name"),
        ({"name": " "}, "name"),
        ({"name": "x" * 65}, "name"),
        ({"name": "two\nlines"}, "name"),
        ({"name": "\ud800"}, "name"),
        ({"username": "a:b"}, "username"),
        ({"username": ""}, "username"),
        ({"expires_at": "tomorrow"}, "expires_at"),
        ({"expires_at": "2026-11-21T10:00:00Z"}, "expires_at"),
        ({"expires_at": datetime(1999, 1, 1)}, "expires_at"),
        ({"expires_at": "9999-12-31T23:59:59-12:00"}, "expires_at"),
    ],
)
async def test_bad_input_is_refused_by_name(fields: dict[str, str], where: str, house: House) -> None:
    with pytest.raises(errors.DataValidationError) as caught:
        await house.service.add(**{"username": "alice", **fields})  # type: ignore[arg-type]
    assert [error.loc for error in caught.value.errors] == [(where,)]
    assert house.storage.api_keys == {}


async def test_the_longest_name_is_kept(house: House) -> None:
    _, key = await house.service.add("alice", name="🦆" * 64)
    assert key.name == "🦆" * 64


async def test_what_is_not_there_is_said(house: House) -> None:
    with pytest.raises(errors.UserNotFoundError):
        await house.service.add("nobody")
    with pytest.raises(errors.RecordNotFoundError):
        await house.service.revoke("AbCdEfGh")


def scripted(monkeypatch: pytest.MonkeyPatch, characters: str) -> None:
    coming: Iterator[str] = iter(characters)
    monkeypatch.setattr(secrets, "choice", lambda _: next(coming))


async def test_an_id_that_is_taken_is_drawn_anew(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, "a" * 43 + "a" * 8 + "b" * 35 + "c" * 43)
    first, _ = await house.service.add("alice")
    second, _ = await house.service.add("bob")
    assert (first, second) == ("pxy_" + "a" * 43, "pxy_" + "c" * 43)
    assert (await house.service.authenticate(first)).username == "alice"


async def test_it_is_not_drawn_anew_for_ever(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, "a" * 430)
    await house.service.add("alice")
    with pytest.raises(errors.ConstraintViolationError):
        await house.service.add("alice")
    assert len(house.storage.api_keys) == 1
