"""The last known state of the generator, so that probes neither call it each time nor wait for it."""

import asyncio
import logging

from pixyproxy.domain.errors import GeneratorCredentialsError, GeneratorError, GeneratorUnavailableError
from pixyproxy.ports.image_generator import ImageGenerator

logger = logging.getLogger(__name__)

_GOOD_FOR_S, _BAD_FOR_S = 60.0, 10.0
_FIRST_WAIT_S = 1.0
"""Seconds that the first question may wait for the answer of the generator."""
_CHECK_S = 30.0


class GeneratorHealth:
    """Finds a generator that is set up wrongly: refused credentials, or an address that has never worked.

    An outage of one that has worked is none of these: pictures can still be read, and other hosts have it too.
    """

    def __init__(self, generator: ImageGenerator) -> None:
        self._generator = generator
        self._state: str | None = None
        self._has_worked = False
        self._next_check = 0.0
        self._check: asyncio.Task[None] | None = None

    async def state(self) -> str:
        """Return `ok`, or the code and the reason; older than a minute, it is renewed in the background."""
        if self._check is None and asyncio.get_running_loop().time() >= self._next_check:
            self._check = asyncio.create_task(self._renew())
        if self._state is None and self._check is not None:
            await asyncio.wait([self._check], timeout=_FIRST_WAIT_S)
        return self._state or "ok"

    async def _renew(self) -> None:
        before, self._state = self._state, await self._find()
        good = self._state == "ok"
        if not good and self._state != before:
            logger.warning("the generator cannot be used: %s", self._state)
        self._next_check = asyncio.get_running_loop().time() + (_GOOD_FOR_S if good else _BAD_FOR_S)
        self._check = None

    async def _find(self) -> str:
        try:
            async with asyncio.timeout(_CHECK_S):
                await self._generator.check()
        except GeneratorCredentialsError as error:
            return f"{error.code}: {error.message}"
        except GeneratorUnavailableError as error:
            return "ok" if self._has_worked else f"{error.code}: {error.message}"
        except (GeneratorError, TimeoutError) as error:
            logger.info("the check of the generator ended with %s", type(error).__name__)
        except Exception:
            logger.exception("the check of the generator failed unexpectedly")
        else:
            self._has_worked = True
        return "ok"
