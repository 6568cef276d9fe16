"""Password hashing with Argon2id in a thread pool."""

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import argon2
from argon2.exceptions import HashingError, InvalidHashError, VerificationError, VerifyMismatchError

from pixyproxy.domain.errors import CapacityExceededError, DataValidationError, FieldError
from pixyproxy.ports.passwords.password_hasher import PasswordHasher

_T = TypeVar("_T")


class Argon2PasswordHasher(PasswordHasher):
    """Hasher with the second recommended parameters of RFC 9106, section 4: 3 passes over 64 MiB.

    It uses one lane instead of four, as OWASP advises for servers
    (https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html): a login must not take four
    cores. `memory_cost` is in KiB. At most `threads` hashes are computed at once (each needs the memory) and
    `max_waiting` more wait. Hashes made with other parameters can still be verified.
    """

    def __init__(
        self,
        *,
        threads: int = 2,
        max_waiting: int = 64,
        time_cost: int = 3,
        memory_cost: int = 65536,
        parallelism: int = 1,
    ) -> None:
        self._threads = threads
        self._permits = threading.BoundedSemaphore(threads + max_waiting)
        self._argon2 = argon2.PasswordHasher(time_cost=time_cost, memory_cost=memory_cost, parallelism=parallelism)
        self._executor: ThreadPoolExecutor | None = None
        self._dummy = ""

    async def open(self) -> None:
        """Start the threads and compute the hash that stands in for those of unknown users."""
        if self._executor is None:
            self._executor = ThreadPoolExecutor(self._threads, "argon2")
            self._dummy = await self._run(self._hash, os.urandom(32))

    async def close(self) -> None:
        """Finish running work and end the threads."""
        executor, self._executor = self._executor, None
        if executor is not None:
            await asyncio.to_thread(executor.shutdown)

    async def hash(self, password: str) -> str:
        """Return a salted hash.

        Raises DataValidationError for a password that UTF-8 cannot encode (lone surrogates).
        """
        try:
            encoded = password.encode()
        except UnicodeEncodeError as error:
            message = "must be text that can be written in UTF-8"
            raise DataValidationError(f"password {message}", [FieldError(("password",), message)]) from error
        return await self._run(self._hash, encoded)

    async def verify(self, password_hash: str, password: str) -> bool:
        # A password that cannot be encoded cannot have been hashed; it takes as long as one of an unknown user.
        try:
            return await self._run(self._verify, password_hash, password.encode())
        except UnicodeEncodeError:
            return await self._run(self._verify, "", b"")

    async def _run(self, function: Callable[..., _T], *args: object) -> _T:
        if not self._permits.acquire(blocking=False):
            raise CapacityExceededError("Too many logins are being checked; try again in a moment.", retry_after_s=1.0)
        try:
            if self._executor is None:
                raise CapacityExceededError("Logins are not being checked: the service is starting or stopping.")
            future = self._executor.submit(function, *args)
        except BaseException:
            self._permits.release()
            raise
        # Released when the work ends, not when its caller stops waiting.
        future.add_done_callback(lambda _: self._permits.release())
        return await asyncio.wrap_future(future)

    def _hash(self, password: bytes) -> str:
        try:
            return self._argon2.hash(password)
        except HashingError as error:
            raise CapacityExceededError("Not enough memory is left to hash a password.") from error

    def _verify(self, password_hash: str, password: bytes) -> bool:
        if "\0" not in password_hash:  # the C library would stop reading there
            try:
                return self._argon2.verify(password_hash, password)
            except VerifyMismatchError:
                return False
            except (InvalidHashError, VerificationError, UnicodeEncodeError):
                # Malformed, or out of memory: verifying against the dummy hash tells which.
                pass
        try:
            self._argon2.verify(self._dummy, password)
        except VerifyMismatchError:
            return False
        except VerificationError as error:
            raise CapacityExceededError("Not enough memory is left to check a password.") from error
        return False
