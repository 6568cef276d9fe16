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
class House:
    """A user service and what it stands on."""

    service: UserService
    hasher: PlainHasher
    clock: SteppingClock


@pytest.fixture
async def house() -> AsyncIterator[House]:
    users, hasher, clock = MemoryUserRepository(), PlainHasher(), SteppingClock()
    await users.open()
    yield House(UserService(users, hasher, clock), hasher, clock)
    await users.close()


async def test_a_user_logs_in_with_the_right_password_only(house: House) -> None:
    await house.service.add("alice", "secret", "cs101")
    user = await house.service.authenticate("alice", "secret")
    assert (user.username, user.class_key) == ("alice", "cs101")
    with pytest.raises(errors.AuthenticationError) as wrong:
        await house.service.authenticate("alice", "Secret")
    with pytest.raises(errors.AuthenticationError) as unknown:
        await house.service.authenticate("bob", "secret")
    assert wrong.value.message == unknown.value.message


async def test_an_unknown_user_costs_a_check_too(house: House) -> None:
    with pytest.raises(errors.AuthenticationError):
        await house.service.authenticate("bob", "secret")
    assert house.hasher.checks == [""]


async def test_a_success_is_remembered_briefly_and_a_failure_never(house: House) -> None:
    await house.service.add("alice", "secret")
    for _ in range(3):
        await house.service.authenticate("alice", "secret")
    assert len(house.hasher.checks) == 1
    house.clock.advance(timedelta(minutes=6))
    await house.service.authenticate("alice", "secret")
    assert len(house.hasher.checks) == 2
    for _ in range(2):
        with pytest.raises(errors.AuthenticationError):
            await house.service.authenticate("alice", "wrong")
    assert len(house.hasher.checks) == 4


async def test_a_changed_password_and_a_removed_user_take_effect_at_once(house: House) -> None:
    await house.service.add("alice", "secret")
    await house.service.authenticate("alice", "secret")
    await house.service.change_password("alice", "other")
    with pytest.raises(errors.AuthenticationError):
        await house.service.authenticate("alice", "secret")
    await house.service.authenticate("alice", "other")
    await house.service.remove("alice")
    with pytest.raises(errors.AuthenticationError):
        await house.service.authenticate("alice", "other")


async def test_names_and_passwords_are_composed(house: House) -> None:
    await house.service.add("Zoe\u0308", "pa\u0308ss")
    assert (await house.service.authenticate("Zoë", "päss")).username == "Zoë"


async def test_users_are_listed_by_name(house: House) -> None:
    for name in ("bob", "alice"):
        await house.service.add(name, "secret")
    assert [user.username for user in await house.service.list()] == ["alice", "bob"]


async def test_what_cannot_be_done_says_why(house: House) -> None:
    await house.service.add("alice", "secret")
    with pytest.raises(errors.ConstraintViolationError):
        await house.service.add("alice", "secret")
    with pytest.raises(errors.DataValidationError):
        await house.service.add("a:b", "secret")
    with pytest.raises(errors.DataValidationError):
        await house.service.change_password("alice", "")
    with pytest.raises(errors.UserNotFoundError):
        await house.service.change_password("bob", "secret")
    with pytest.raises(errors.UserNotFoundError):
        await house.service.remove("bob")
