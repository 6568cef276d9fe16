"""The use cases around users, on in-memory adapters."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

import pytest

from pixyproxy.adapters.memory.user_repository import MemoryUserRepository
from pixyproxy.application.accounts.user_service import UserService
from pixyproxy.domain import errors
from tests.fixtures.core import PlainHasher, SteppingClock


@dataclass
class UserHarness:
    """A user service and its storage."""

    service: UserService
    hasher: PlainHasher
    clock: SteppingClock


@pytest.fixture
async def harness() -> AsyncIterator[UserHarness]:
    users, hasher, clock = MemoryUserRepository(), PlainHasher(), SteppingClock()
    await users.open()
    yield UserHarness(UserService(users, hasher, clock), hasher, clock)
    await users.close()


async def test_a_user_logs_in_with_the_right_password_only(harness: UserHarness) -> None:
    await harness.service.add("alice", "secret", "cs101")
    user = await harness.service.authenticate("alice", "secret")
    assert (user.username, user.class_key) == ("alice", "cs101")
    with pytest.raises(errors.AuthenticationError) as wrong:
        await harness.service.authenticate("alice", "Secret")
    with pytest.raises(errors.AuthenticationError) as unknown:
        await harness.service.authenticate("bob", "secret")
    assert wrong.value.message == unknown.value.message


async def test_an_unknown_user_costs_a_verification_too(harness: UserHarness) -> None:
    with pytest.raises(errors.AuthenticationError):
        await harness.service.authenticate("bob", "secret")
    assert harness.hasher.checks == [""]


async def test_a_success_is_cached_briefly_and_a_failure_never(harness: UserHarness) -> None:
    await harness.service.add("alice", "secret")
    for _ in range(3):
        await harness.service.authenticate("alice", "secret")
    assert len(harness.hasher.checks) == 1
    harness.clock.advance(timedelta(minutes=6))
    await harness.service.authenticate("alice", "secret")
    assert len(harness.hasher.checks) == 2
    for _ in range(2):
        with pytest.raises(errors.AuthenticationError):
            await harness.service.authenticate("alice", "wrong")
    assert len(harness.hasher.checks) == 4


async def test_a_changed_password_and_a_removed_user_take_effect_at_once(harness: UserHarness) -> None:
    await harness.service.add("alice", "secret")
    await harness.service.authenticate("alice", "secret")
    await harness.service.change_password("alice", "other")
    with pytest.raises(errors.AuthenticationError):
        await harness.service.authenticate("alice", "secret")
    await harness.service.authenticate("alice", "other")
    await harness.service.remove("alice")
    with pytest.raises(errors.AuthenticationError):
        await harness.service.authenticate("alice", "other")


async def test_names_and_passwords_are_composed(harness: UserHarness) -> None:
    await harness.service.add("Zoe\u0308", "pa\u0308ss")
    assert (await harness.service.authenticate("Zoë", "päss")).username == "Zoë"


async def test_users_are_listed_by_name(harness: UserHarness) -> None:
    for name in ("bob", "alice"):
        await harness.service.add(name, "secret")
    assert [user.username for user in await harness.service.list()] == ["alice", "bob"]


async def test_errors_give_their_reason(harness: UserHarness) -> None:
    await harness.service.add("alice", "secret")
    with pytest.raises(errors.ConstraintViolationError):
        await harness.service.add("alice", "secret")
    with pytest.raises(errors.DataValidationError):
        await harness.service.add("a:b", "secret")
    with pytest.raises(errors.DataValidationError):
        await harness.service.change_password("alice", "")
    with pytest.raises(errors.UserNotFoundError):
        await harness.service.change_password("bob", "secret")
    with pytest.raises(errors.UserNotFoundError):
        await harness.service.remove("bob")


async def test_a_removed_name_is_given_to_nobody_else_unless_it_is_taken_over(harness: UserHarness) -> None:
    await harness.service.add("Zo\u00eb", "secret")
    await harness.service.remove("Zoe\u0308")
    for name in ("Zo\u00eb", "Zoe\u0308", "ZO\u00cb"):
        with pytest.raises(errors.NameReservedError, match="--take-over"):
            await harness.service.add(name, "other")
    with pytest.raises(errors.AuthenticationError):
        await harness.service.authenticate("Zo\u00eb", "secret")
    await harness.service.add("Zoe\u0308", "other", take_over=True)
    assert (await harness.service.authenticate("Zo\u00eb", "other")).username == "Zo\u00eb"
