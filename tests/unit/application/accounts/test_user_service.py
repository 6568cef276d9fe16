"""The use cases around users, on in-memory adapters."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

import pytest

from pixyproxy.adapters.memory.user_repository import MemoryUserRepository
from pixyproxy.application.accounts.user_service import UserService
from pixyproxy.domain import errors
from pixyproxy.domain.user import Role
from tests.fixtures.core import PlainHasher, SteppingClock, user_service_on

HOME = "192.0.2.1"


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
    yield UserHarness(user_service_on(users, hasher, clock), hasher, clock)
    await users.close()


async def test_a_user_logs_in_with_the_right_password_only(harness: UserHarness) -> None:
    await harness.service.add("alice", "secret", "cs101")
    user = await harness.service.authenticate("alice", "secret", HOME)
    assert (user.username, user.class_key) == ("alice", "cs101")
    with pytest.raises(errors.AuthenticationError) as wrong:
        await harness.service.authenticate("alice", "Secret", HOME)
    with pytest.raises(errors.AuthenticationError) as unknown:
        await harness.service.authenticate("bob", "secret", HOME)
    assert wrong.value.message == unknown.value.message


async def test_an_unknown_user_costs_a_verification_too(harness: UserHarness) -> None:
    with pytest.raises(errors.AuthenticationError):
        await harness.service.authenticate("bob", "secret", HOME)
    assert harness.hasher.checks == [""]


async def test_a_success_and_a_failure_are_cached_briefly(harness: UserHarness) -> None:
    await harness.service.add("alice", "secret")
    for _ in range(3):
        await harness.service.authenticate("alice", "secret", HOME)
    assert len(harness.hasher.checks) == 1
    harness.clock.advance(timedelta(minutes=6))
    await harness.service.authenticate("alice", "secret", HOME)
    assert len(harness.hasher.checks) == 2
    for _ in range(2):
        with pytest.raises(errors.AuthenticationError):
            await harness.service.authenticate("alice", "wrong", HOME)
    assert len(harness.hasher.checks) == 3
    harness.clock.advance(timedelta(minutes=6))
    with pytest.raises(errors.AuthenticationError):
        await harness.service.authenticate("alice", "wrong", HOME)
    assert len(harness.hasher.checks) == 4


async def test_a_changed_password_and_a_removed_user_take_effect_at_once(harness: UserHarness) -> None:
    await harness.service.add("alice", "secret")
    await harness.service.authenticate("alice", "secret", HOME)
    await harness.service.change_password("alice", "other")
    with pytest.raises(errors.AuthenticationError):
        await harness.service.authenticate("alice", "secret", HOME)
    await harness.service.authenticate("alice", "other", HOME)
    await harness.service.remove("alice")
    with pytest.raises(errors.AuthenticationError):
        await harness.service.authenticate("alice", "other", HOME)


async def test_a_paused_or_expired_account_is_refused_with_the_right_password_only(harness: UserHarness) -> None:
    await harness.service.add("alice", "secret")
    for _ in range(20):
        await harness.service.authenticate("alice", "secret", HOME)
        assert (await harness.service.pause("alice")).paused
        with pytest.raises(errors.AccountPausedError, match="paused"):
            await harness.service.authenticate("alice", "secret", HOME)
        assert not (await harness.service.resume("alice")).paused
    await harness.service.pause("alice")
    with pytest.raises(errors.AuthenticationError, match="Wrong"):
        await harness.service.authenticate("alice", "wrong", HOME)


async def test_a_password_of_somebody_else_is_marked(harness: UserHarness) -> None:
    assert (await harness.service.add("alice", "secret")).password_set_by == "command line"
    await harness.service.change_password("alice", "other")
    assert (await harness.service.authenticate("alice", "other", HOME)).password_set_by == "command line"


async def test_roles(harness: UserHarness) -> None:
    assert (await harness.service.add("alice", "secret")).role is Role.STUDENT
    assert not await harness.service.has_admin()
    assert (await harness.service.add("bob", "secret", role="teacher")).role is Role.TEACHER
    assert (await harness.service.change_role("alice", "admin")).role is Role.ADMIN
    assert await harness.service.has_admin()
    with pytest.raises(errors.DataValidationError, match="role"):
        await harness.service.change_role("alice", "head")
    with pytest.raises(errors.UserNotFoundError):
        await harness.service.change_role("nobody", Role.ADMIN)


async def test_names_and_passwords_are_composed(harness: UserHarness) -> None:
    await harness.service.add("Zoe\u0308", "pa\u0308ss")
    assert (await harness.service.authenticate("Zoë", "päss", HOME)).username == "Zoë"


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
        await harness.service.authenticate("Zo\u00eb", "secret", HOME)
    await harness.service.add("Zoe\u0308", "other", take_over=True)
    assert (await harness.service.authenticate("Zo\u00eb", "other", HOME)).username == "Zo\u00eb"
