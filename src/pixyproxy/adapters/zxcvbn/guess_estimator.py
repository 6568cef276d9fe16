"""Estimates of how many guesses find a password."""

import asyncio
from collections.abc import Sequence

from pixyproxy.ports.passwords.guess_estimator import GuessEstimator

_LOOKED_AT = 24
"""Characters that are looked at: some take the library 0.6 s then, and 10 s at the 72 that it allows."""


class ZxcvbnGuessEstimator(GuessEstimator):
    """Estimator that knows 30,000 common passwords, English words and names, keyboards, dates and repeats."""

    async def guesses(self, password: str, known: Sequence[str] = ()) -> float:
        return await asyncio.to_thread(_guesses, password[:_LOOKED_AT], list(known))


def _guesses(password: str, known: list[str]) -> float:
    # Here, because its lists are only needed for new passwords.
    from zxcvbn import zxcvbn

    return float(zxcvbn(password, user_inputs=known)["guesses"]) if password else 0.0
