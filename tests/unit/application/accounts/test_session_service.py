"""The use cases around login sessions, on in-memory adapters."""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import timedelta

import pytest

from pixyproxy.adapters.memory.session_repository import MemorySessionRepository
from pixyproxy.adapters.memory.storage import MemoryStorage
from pixyproxy.adapters.memory.user_repository import MemoryUserRepository
from pixyproxy.application.accounts.session_service import SessionService
from pixyproxy.application.accounts.user_service import UserService
from pixyproxy.application.derived_key import derive_key
from pixyproxy.domain import errors
from tests.fixtures.core import PlainHasher, SteppingClock, user_service_on

SECRET = b"s" * 32
DAY = timedelta(days=1)
HOME = "192.0.2.1"
ALICE = {"username": "alice", "password": "secret of alice"}


@dataclass
class SessionHarness:
    """A session service, its users and its storage."""

    service: SessionService
    users: UserService
    storage: MemoryStorage
    clock: SteppingClock


@pytest.fixture
async def harness() -> SessionHarness:
    storage, clock = MemoryStorage(), SteppingClock(timedelta())
    users = user_service_on(MemoryUserRepository(storage), PlainHasher(), clock)
    await users.add("alice", "secret of alice", "cs101")
    await users.add("bob", "secret of bob")
    return SessionHarness(
        SessionService(MemorySessionRepository(storage), users, clock, lambda: SECRET), users, storage, clock
    )


async def username_of(harness: SessionHarness, token: str) -> str | None:
    user = await harness.service.find(token)
    return None if user is None else user.username


async def test_a_session_is_its_users(harness: SessionHarness) -> None:
    token, user = await harness.service.begin(ALICE, HOME)
    assert (user.username, user.class_key) == ("alice", "cs101")
    other, _ = await harness.service.begin({"username": "bob", "password": "secret of bob"}, HOME)
    assert token != other
    assert await username_of(harness, token) == "alice"
    assert await username_of(harness, other) == "bob"


@pytest.mark.parametrize("token", ["", "x", "x" * 43, "x" * 42 + "é", "x" * 10_000, "\0" * 43])
async def test_another_token_is_no_session(harness: SessionHarness, token: str) -> None:
    await harness.service.begin(ALICE, HOME)
    assert await harness.service.find(token) is None
    await harness.service.end(token)
    assert len(harness.storage.sessions) == 1


@pytest.mark.parametrize(
    "credentials",
    [
        {"username": "alice", "password": "another"},
        {"username": "nobody", "password": "secret of alice"},
    ],
)
async def test_wrong_credentials_begin_no_session(harness: SessionHarness, credentials: dict[str, str]) -> None:
    with pytest.raises(errors.AuthenticationError, match="Wrong username or password"):
        await harness.service.begin(credentials, HOME)
    assert harness.storage.sessions == {}


@pytest.mark.parametrize(
    "credentials", [None, [], {}, {"username": "alice"}, {**ALICE, "more": 1}, {**ALICE, "password": ""}]
)
async def test_malformed_credentials_are_named(harness: SessionHarness, credentials: object) -> None:
    with pytest.raises(errors.DataValidationError):
        await harness.service.begin(credentials, HOME)


async def test_too_many_failures_are_refused_before_the_right_password(harness: SessionHarness) -> None:
    for number in range(10):
        with pytest.raises(errors.AuthenticationError):
            await harness.service.begin({**ALICE, "password": f"guess {number}"}, HOME)
    with pytest.raises(errors.TooManyLoginsError):
        await harness.service.begin(ALICE, HOME)


async def test_the_store_has_only_hashes(harness: SessionHarness) -> None:
    token, user = await harness.service.begin(ALICE, HOME)
    expected = hmac.digest(derive_key(SECRET, "sessions"), token.encode(), "sha256").hex()
    [session] = harness.storage.sessions.values()
    assert session.digest == expected
    assert session.password_digest == hashlib.sha256(user.password_hash.encode()).hexdigest()
    assert token not in repr(harness.storage)


async def test_a_session_lasts_until_14_days_after_its_last_use(harness: SessionHarness) -> None:
    token, _ = await harness.service.begin(ALICE, HOME)
    for _ in range(3):
        harness.clock.advance(13 * DAY)
        assert await username_of(harness, token) == "alice"
    harness.clock.advance(14 * DAY - timedelta(microseconds=1))
    assert await username_of(harness, token) == "alice"
    harness.clock.advance(14 * DAY)
    assert await username_of(harness, token) is None


async def test_uses_within_a_day_write_nothing(harness: SessionHarness) -> None:
    token, _ = await harness.service.begin(ALICE, HOME)
    before = dict(harness.storage.sessions)
    harness.clock.advance(DAY - timedelta(seconds=1))
    await harness.service.find(token)
    assert harness.storage.sessions == before
    harness.clock.advance(timedelta(seconds=1))
    await harness.service.find(token)
    assert harness.storage.sessions != before


async def test_it_ends_with_logout_and_only_it(harness: SessionHarness) -> None:
    one, two = [(await harness.service.begin(ALICE, HOME))[0] for _ in range(2)]
    await harness.service.end(one)
    await harness.service.end(one)
    assert await username_of(harness, one) is None
    assert await username_of(harness, two) == "alice"


async def test_it_ends_with_a_new_password(harness: SessionHarness) -> None:
    tokens = [(await harness.service.begin(ALICE, HOME))[0] for _ in range(2)]
    other, _ = await harness.service.begin({"username": "bob", "password": "secret of bob"}, HOME)
    await harness.users.change_password("alice", "a new secret of alice")
    assert [await username_of(harness, token) for token in tokens] == [None, None]
    assert await username_of(harness, other) == "bob"


async def test_it_ends_with_its_user(harness: SessionHarness) -> None:
    token, _ = await harness.service.begin(ALICE, HOME)
    await harness.users.remove("alice")
    assert await username_of(harness, token) is None
    await harness.users.add("alice", "secret of alice", take_over=True)
    assert await username_of(harness, token) is None


async def test_a_login_replaces_the_session_before_and_deletes_expired_ones(harness: SessionHarness) -> None:
    await harness.service.begin(ALICE, HOME)
    harness.clock.advance(14 * DAY)
    old, _ = await harness.service.begin(ALICE, HOME)
    assert len(harness.storage.sessions) == 1
    new, _ = await harness.service.begin(ALICE, HOME, replaced=old)
    assert await username_of(harness, old) is None
    assert await username_of(harness, new) == "alice"


async def test_a_user_who_is_removed_during_the_login_gets_no_session(
    harness: SessionHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    authenticate = harness.users.authenticate

    async def authenticate_and_remove(*arguments: str) -> object:
        user = await authenticate(*arguments)
        await harness.users.remove("alice")
        return user

    monkeypatch.setattr(harness.users, "authenticate", authenticate_and_remove)
    with pytest.raises(errors.AuthenticationError):
        await harness.service.begin(ALICE, HOME)


async def test_a_pause_ends_sessions(harness: SessionHarness) -> None:
    token, _ = await harness.service.begin(ALICE, HOME)
    await harness.users.pause("alice")
    with pytest.raises(errors.AccountPausedError):
        await harness.service.find(token)
    with pytest.raises(errors.AccountPausedError):
        await harness.service.begin(ALICE, HOME)
    await harness.users.resume("alice")
    assert await harness.service.find(token) is None
    token, _ = await harness.service.begin(ALICE, HOME)
    assert await username_of(harness, token) == "alice"
