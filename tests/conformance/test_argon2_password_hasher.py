"""Argon2PasswordHasher: the contract, equal cost for unknown users, and failures other than wrong passwords."""

import asyncio
import threading

import argon2
import pytest
from argon2.exceptions import HashingError, VerificationError

from pixyproxy.adapters.argon2.password_hasher import Argon2PasswordHasher
from pixyproxy.domain.errors import CapacityExceededError, DataValidationError
from tests.conformance.contracts.password_hasher import PasswordHasherContract


class TestArgon2PasswordHasher(PasswordHasherContract):
    adapter = Argon2PasswordHasher

    @pytest.fixture
    def unopened(self) -> Argon2PasswordHasher:
        return Argon2PasswordHasher(time_cost=1, memory_cost=1024)

    @pytest.fixture
    def small(self) -> Argon2PasswordHasher:
        return Argon2PasswordHasher(threads=1, max_waiting=2, time_cost=1, memory_cost=16_384)


async def test_the_defaults_are_those_of_rfc_9106_on_one_lane() -> None:
    hasher = Argon2PasswordHasher()
    await hasher.open()
    parameters = argon2.extract_parameters(await hasher.hash("password"))
    await hasher.close()
    assert parameters.type is argon2.Type.ID
    assert (parameters.time_cost, parameters.memory_cost, parameters.parallelism) == (3, 64 * 1024, 1)
    assert (parameters.salt_len, parameters.hash_len) == (16, 32)


@pytest.mark.parametrize("password_hash", ["", "malformed", "$argon2id$v=19$m=65536,t=3,p=1$AAAA$AAAA", "\x00"])
@pytest.mark.parametrize("password", ["password", "\ud800"], ids=ascii)
async def test_an_unknown_user_costs_one_real_hash(
    monkeypatch: pytest.MonkeyPatch, password_hash: str, password: str
) -> None:
    worked: list[str] = []
    verify = argon2.PasswordHasher.verify

    def counting(self: argon2.PasswordHasher, hashed: str, given: bytes) -> bool:
        try:
            return verify(self, hashed, given)
        except argon2.exceptions.VerifyMismatchError:
            worked.append(hashed)  # only a whole computation ends in a mismatch
            raise

    hasher = Argon2PasswordHasher(time_cost=2, memory_cost=2048)
    await hasher.open()
    monkeypatch.setattr(argon2.PasswordHasher, "verify", counting)
    assert await hasher.verify(password_hash, password) is False
    await hasher.close()
    assert len(worked) == 1
    parameters = argon2.extract_parameters(worked[0])
    assert (parameters.time_cost, parameters.memory_cost) == (2, 2048)


async def test_capacity_is_the_running_and_the_waiting_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()

    def held(self: argon2.PasswordHasher, password: bytes) -> str:
        go_on.wait(20)
        return "hash"

    hasher = Argon2PasswordHasher(threads=2, max_waiting=3, time_cost=1, memory_cost=1024)
    await hasher.open()
    monkeypatch.setattr(argon2.PasswordHasher, "hash", held)
    tasks = [asyncio.create_task(hasher.hash("password")) for _ in range(20)]
    await asyncio.sleep(0)
    refused = [task for task in tasks if task.done()]
    go_on.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    await hasher.close()
    assert len(refused) == 15
    assert answers.count("hash") == 5


async def test_a_password_that_cannot_be_encoded_is_refused() -> None:
    hasher = Argon2PasswordHasher(time_cost=1, memory_cost=1024)
    await hasher.open()
    with pytest.raises(DataValidationError) as caught:
        await hasher.hash("half a \ud83e pair")
    assert [error.loc for error in caught.value.errors] == [("password",)]
    await hasher.close()


async def test_lack_of_memory_is_an_outage_and_no_wrong_password(monkeypatch: pytest.MonkeyPatch) -> None:
    hasher = Argon2PasswordHasher(time_cost=1, memory_cost=1024)
    await hasher.open()
    hashed = await hasher.hash("password")

    def no_memory(*args: object, **kwargs: object) -> bool:
        raise VerificationError("Memory allocation error")

    def no_memory_to_hash(*args: object, **kwargs: object) -> str:
        raise HashingError("Memory allocation error")

    monkeypatch.setattr(argon2.PasswordHasher, "verify", no_memory)
    monkeypatch.setattr(argon2.PasswordHasher, "hash", no_memory_to_hash)
    with pytest.raises(CapacityExceededError):
        await hasher.verify(hashed, "password")
    with pytest.raises(CapacityExceededError):
        await hasher.hash("password")
    await hasher.close()


async def test_a_closed_hasher_refuses_and_leaks_no_permit() -> None:
    hasher = Argon2PasswordHasher(threads=1, max_waiting=0, time_cost=1, memory_cost=1024)
    for _ in range(3):
        with pytest.raises(CapacityExceededError):
            await hasher.verify("", "password")
    await hasher.open()
    assert await hasher.verify("", "password") is False
    await hasher.close()
