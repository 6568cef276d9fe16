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
from pixyproxy.application.derived_key import derive_key
from pixyproxy.domain import errors
from pixyproxy.domain.user import User
from tests.fixtures.core import SteppingClock, login_throttle_on

SECRET = b"s" * 32
DAY = timedelta(days=1)
HOME = "192.0.2.1"


@dataclass
class KeyHarness:
    """A key service and its storage."""

    service: KeyService
    storage: MemoryStorage
    clock: SteppingClock


@pytest.fixture
def harness() -> KeyHarness:
    storage, clock = MemoryStorage(), SteppingClock()
    for name in ("alice", "bob", "Zoë"):
        storage.users[name] = User(name, "cs101", "hash")
    return KeyHarness(
        KeyService(MemoryApiKeyRepository(storage), clock, lambda: SECRET, login_throttle_on(clock)), storage, clock
    )


async def refused(harness: KeyHarness, token: str) -> str:
    with pytest.raises(errors.AuthenticationError) as caught:
        await harness.service.authenticate(token, HOME)
    assert token == "" or token not in caught.value.message
    return caught.value.message


async def test_a_key_authenticates_its_user(harness: KeyHarness) -> None:
    token, key = await harness.service.add("alice", name="my laptop")
    assert re.fullmatch(r"pxy_[0-9A-Za-z]{43}", token)
    assert (key.key_id, key.username, key.name, key.expires_at) == (token[4:12], "alice", "my laptop", None)
    assert await harness.service.authenticate(token, HOME) == User("alice", "cs101", "hash")
    other, _ = await harness.service.add("bob")
    assert (await harness.service.authenticate(other, HOME)).username == "bob"


async def test_a_duration_begins_when_the_key_is_added(harness: KeyHarness) -> None:
    _, key = await harness.service.add("alice", expires=DAY)
    assert key.expires_at is not None
    assert key.expires_at - key.created_at == DAY
    with pytest.raises(errors.DataValidationError, match="expires"):
        await harness.service.add("alice", expires=timedelta())


async def test_the_store_has_only_a_keyed_hash(harness: KeyHarness) -> None:
    token, key = await harness.service.add("alice")
    expected = hmac.digest(derive_key(SECRET, "api-keys"), token.encode(), "sha256").hex()
    assert harness.storage.api_keys == {key.key_id: key}
    assert key.digest == expected
    assert token[12:] not in repr(harness.storage)
    assert expected not in repr(key)


async def test_a_key_is_invalid_under_another_secret(harness: KeyHarness) -> None:
    token, _ = await harness.service.add("alice")
    other = KeyService(
        MemoryApiKeyRepository(harness.storage), harness.clock, lambda: b"t" * 32, login_throttle_on(harness.clock)
    )
    with pytest.raises(errors.AuthenticationError):
        await other.authenticate(token, HOME)


async def test_the_secret_is_read_on_first_use(harness: KeyHarness) -> None:
    requested: list[bytes] = []

    def secret() -> bytes:
        requested.append(SECRET)
        return SECRET

    service = KeyService(
        MemoryApiKeyRepository(harness.storage), harness.clock, secret, login_throttle_on(harness.clock)
    )
    await service.list()
    assert requested == []
    token, _ = await service.add("alice")
    await service.authenticate(token, HOME)
    assert requested == [SECRET]


async def test_wrong_malformed_expired_and_revoked_keys_get_the_same_error(harness: KeyHarness) -> None:
    token, key = await harness.service.add("alice", expires=harness.clock.now() + DAY)
    wrong = token[:-1] + ("a" if token[-1] != "a" else "b")
    said = {await refused(harness, wrong)}
    for malformed in ("", "pxy_", "sk-x", token[4:], token.upper(), token[:-1], token + "a", token + "é",
                      f" {token}", token + "\n", "pxy_" + "é" * 43, "pxy_" + "-" * 43,
                      "pxy_" + "٣" * 43, key.digest, key.key_id):  # fmt: skip
        said.add(await refused(harness, malformed))
    harness.clock.advance(DAY)
    said.add(await refused(harness, token))
    revoked, key = await harness.service.add("alice")
    await harness.service.revoke(key.key_id)
    said.add(await refused(harness, revoked))
    assert len(said) == 1


async def test_a_key_is_valid_until_the_instant_it_expires(harness: KeyHarness) -> None:
    end = harness.clock.now() + DAY
    token, key = await harness.service.add("alice", expires=end)
    assert key.expires_at == end
    # The clock advances by a second at every reading.
    harness.clock.advance(end - harness.clock.now() - timedelta(seconds=2))
    assert (await harness.service.authenticate(token, HOME)).username == "alice"
    await refused(harness, token)


async def test_the_keys_of_a_removed_user_are_invalid(harness: KeyHarness) -> None:
    token, _ = await harness.service.add("alice")
    users = MemoryUserRepository(harness.storage)
    await users.remove("alice")
    await refused(harness, token)
    await users.add(User("alice"), take_over=True)
    await refused(harness, token)


async def test_keys_are_listed_by_user_and_age(harness: KeyHarness) -> None:
    made = [(await harness.service.add(name))[1] for name in ("bob", "alice", "alice")]
    assert await harness.service.list() == (made[1], made[2], made[0])
    assert await harness.service.list("bob") == (made[0],)
    assert await harness.service.list("nobody") == ()


async def test_names_of_users_are_composed(harness: KeyHarness) -> None:
    token, key = await harness.service.add("Zoe\u0308")
    assert key.username == (await harness.service.authenticate(token, HOME)).username == "Zoë"
    assert await harness.service.list("Zoe\u0308") == (key,)


async def test_a_time_may_be_text_and_defaults_to_utc(harness: KeyHarness) -> None:
    end = datetime(2030, 1, 1, 12)
    for given in (end, "2030-01-01T12:00", "2030-01-01T13:00+01:00"):
        _, key = await harness.service.add("alice", expires=given)
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
        ({"expires": "tomorrow"}, "expires"),
        ({"expires": "2026-11-21T10:00:00Z"}, "expires"),
        ({"expires": datetime(1999, 1, 1)}, "expires"),
        ({"expires": "9999-12-31T23:59:59-12:00"}, "expires"),
    ],
)
async def test_invalid_input_is_refused_by_name(fields: dict[str, str], where: str, harness: KeyHarness) -> None:
    with pytest.raises(errors.DataValidationError) as caught:
        await harness.service.add(**{"username": "alice", **fields})  # type: ignore[arg-type]
    assert [error.loc for error in caught.value.errors] == [(where,)]
    assert harness.storage.api_keys == {}


async def test_the_longest_name_is_stored(harness: KeyHarness) -> None:
    _, key = await harness.service.add("alice", name="🦆" * 64)
    assert key.name == "🦆" * 64


async def test_a_missing_key_is_an_error(harness: KeyHarness) -> None:
    with pytest.raises(errors.UserNotFoundError):
        await harness.service.add("nobody")
    with pytest.raises(errors.RecordNotFoundError):
        await harness.service.revoke("AbCdEfGh")


def scripted(monkeypatch: pytest.MonkeyPatch, characters: str) -> None:
    coming: Iterator[str] = iter(characters)
    monkeypatch.setattr(secrets, "choice", lambda _: next(coming))


async def test_an_id_that_is_taken_is_drawn_again(harness: KeyHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, "a" * 43 + "a" * 8 + "b" * 35 + "c" * 43)
    first, _ = await harness.service.add("alice")
    second, _ = await harness.service.add("bob")
    assert (first, second) == ("pxy_" + "a" * 43, "pxy_" + "c" * 43)
    assert (await harness.service.authenticate(first, HOME)).username == "alice"


async def test_an_id_is_not_drawn_again_forever(harness: KeyHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, "a" * 430)
    await harness.service.add("alice")
    with pytest.raises(errors.ConstraintViolationError):
        await harness.service.add("alice")
    assert len(harness.storage.api_keys) == 1


async def test_a_key_of_a_paused_or_expired_account_is_refused(harness: KeyHarness) -> None:
    token, _ = await harness.service.add("alice")
    end = harness.clock.now() + DAY
    for user in (User("alice", paused=True), User("alice", valid_until=harness.clock.now())):
        harness.storage.users["alice"] = user
        with pytest.raises(errors.AccountPausedError):
            await harness.service.authenticate(token, HOME)
    harness.storage.users["alice"] = User("alice", valid_until=end)
    assert (await harness.service.authenticate(token, HOME)).valid_until == end
