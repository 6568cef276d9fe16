"""Conformance suite of the port PasswordHasher.

An adapter's suite subclasses `PasswordHasherContract` and supplies the fixtures `unopened`, a hasher of moderate cost,
and `small`, one that takes very few calls at a time. `hasher` is `unopened`, opened and closed again.
"""

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import ClassVar

import pytest

from pixyproxy.domain.errors import CapacityExceededError
from pixyproxy.ports.passwords.password_hasher import PasswordHasher

PASSWORDS = (
    "correct horse battery staple",
    "",
    " ",
    "pässwörd",
    "密码 كلمة السر 🦆",
    "nul \x00 inside",
    "x" * 10_000,
    "line\nbreak\r\n",
)
MALFORMED = (
    "x",
    "$",
    "plain text",
    "$argon2id$",
    "$argon2id$v=19$m=65536,t=3,p=1$",
    "$argon2id$v=19$m=65536,t=3,p=1$AAAA$AAAA",
    "$argon2id$v=19$m=0,t=0,p=0$c29tZXNhbHRzb21lc2FsdA$aGFzaGhhc2hoYXNoaGFzaA",
    "$2b$12$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234",
    "hash with ünïcode",
    "\x00",
    "\ud800",
    "$argon2id$" * 1000,
)


class PasswordHasherContract:
    """Tests of each sentence of the port."""

    adapter: ClassVar[type[PasswordHasher]]

    @pytest.fixture
    def unopened(self) -> PasswordHasher:
        raise NotImplementedError("an adapter's suite supplies this fixture")

    @pytest.fixture
    def small(self) -> PasswordHasher:
        raise NotImplementedError("an adapter's suite supplies this fixture")

    @pytest.fixture
    async def hasher(self, unopened: PasswordHasher) -> AsyncIterator[PasswordHasher]:
        await unopened.open()
        yield unopened
        await unopened.close()

    def test_subclasses_its_port(self, unopened: PasswordHasher) -> None:
        assert PasswordHasher in self.adapter.__mro__
        assert type(unopened) is self.adapter

    @pytest.mark.parametrize("password", PASSWORDS, ids=lambda password: ascii(password[:20]))
    async def test_only_the_hashed_password_verifies(self, hasher: PasswordHasher, password: str) -> None:
        hashed = await hasher.hash(password)
        assert await hasher.verify(hashed, password) is True
        for other in (password + "x", password[:-1] if password else "y", password.swapcase() + " "):
            assert await hasher.verify(hashed, other) is False

    @pytest.mark.parametrize("password", PASSWORDS, ids=lambda password: ascii(password[:20]))
    async def test_a_hash_is_short_and_ascii_and_does_not_hold_the_password(
        self, hasher: PasswordHasher, password: str
    ) -> None:
        hashed = await hasher.hash(password)
        assert 1 <= len(hashed) <= 255
        assert hashed.isascii()
        assert hashed.isprintable()
        assert len(password) < 4 or password not in hashed

    async def test_a_hash_is_different_at_every_call(self, hasher: PasswordHasher) -> None:
        hashes = await asyncio.gather(*(hasher.hash("same") for _ in range(5)))
        assert len(set(hashes)) == 5
        assert all(await asyncio.gather(*(hasher.verify(hashed, "same") for hashed in hashes)))

    @pytest.mark.parametrize("password", ["", "anything", "\ud800"], ids=ascii)
    async def test_an_empty_hash_verifies_nothing(self, hasher: PasswordHasher, password: str) -> None:
        assert await hasher.verify("", password) is False

    @pytest.mark.parametrize("malformed", MALFORMED, ids=lambda text: ascii(text[:30]))
    async def test_a_malformed_hash_verifies_nothing(self, hasher: PasswordHasher, malformed: str) -> None:
        assert await hasher.verify(malformed, "anything") is False

    async def test_a_lengthened_or_shortened_hash_verifies_nothing(self, hasher: PasswordHasher) -> None:
        hashed = await hasher.hash("password")
        for changed in (hashed + "\x00", hashed + "x", " " + hashed, hashed[:-1], hashed + "\n", hashed[::-1]):
            assert await hasher.verify(changed, "password") is False

    async def test_another_hasher_verifies_the_hash(self, hasher: PasswordHasher, small: PasswordHasher) -> None:
        hashed = await hasher.hash("password")
        await small.open()
        assert await small.verify(hashed, "password") is True
        assert await small.verify(hashed, "passwore") is False
        await small.close()

    async def test_calls_over_capacity_are_refused_and_the_rest_succeed(self, small: PasswordHasher) -> None:
        await small.open()
        hashed = await small.hash("password")
        calls = [small.verify(hashed, "password") for _ in range(30)] + [small.hash("password") for _ in range(30)]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, CapacityExceededError)]
        answered = [answer for answer in answers if answer is True]
        assert refused
        assert answered
        assert len(refused) + len(answered) == len(calls)
        assert await small.verify(hashed, "password") is True
        await small.close()

    async def test_calls_over_capacity_are_refused_at_once(self, small: PasswordHasher) -> None:
        await small.open()
        hashed = await small.hash("password")
        tasks = [asyncio.create_task(small.verify(hashed, "password")) for _ in range(30)]
        await asyncio.sleep(0)  # each has run up to its first wait: those refused are done already
        refused = [task for task in tasks if task.done()]
        assert refused
        for task in refused:
            assert isinstance(task.exception(), CapacityExceededError)
        await asyncio.gather(*tasks, return_exceptions=True)
        await small.close()

    async def test_cancelled_calls_release_their_permits(self, small: PasswordHasher) -> None:
        await small.open()
        hashed = await small.hash("password")
        for _ in range(10):
            task = asyncio.create_task(small.verify(hashed, "password"))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
        async with asyncio.timeout(20):
            while True:
                try:
                    assert await small.verify(hashed, "password") is True
                    break
                except CapacityExceededError:
                    await asyncio.sleep(0.01)
        await small.close()

    async def test_work_does_not_block_the_event_loop(self, hasher: PasswordHasher) -> None:
        task = asyncio.create_task(hasher.hash("password"))
        await asyncio.sleep(0)
        assert not task.done()
        await task

    async def test_closing_twice_or_without_opening_does_nothing(self, unopened: PasswordHasher) -> None:
        await unopened.close()
        await unopened.open()
        await unopened.close()
        await unopened.close()

    async def test_opening_again_after_closing_works_and_no_thread_is_left(self, unopened: PasswordHasher) -> None:
        threads = own_threads()
        for _ in range(2):
            await unopened.open()
            assert await unopened.verify(await unopened.hash("password"), "password") is True
            await unopened.close()
        assert own_threads() <= threads


def own_threads() -> int:
    """Count the threads outside the event loop's executor."""
    return sum(1 for thread in threading.enumerate() if not thread.name.startswith("asyncio_"))
