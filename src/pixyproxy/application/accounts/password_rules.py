"""The rules for new passwords: long enough, and none that is guessed early."""

import secrets

from pixyproxy.domain.errors import DataValidationError
from pixyproxy.ports.passwords.guess_estimator import GuessEstimator

MIN_GUESSES = 1e6
"""Guesses that a password must withstand; common ones, and those made of them with little added, are found before."""

_TYPED = "bcdfghjkmnpqrstvwxz23456789"
"""Characters of passwords that are made: no vowels, which make words, and none that look like another."""
_GROUPS, _GROUP = 3, 4


class PasswordRules:
    """The rules that a password must obey when it is set; those that were set before stay."""

    def __init__(self, estimator: GuessEstimator, *, min_length: int) -> None:
        self._estimator = estimator
        self._min_length = min_length

    def make(self) -> str:
        """Return a new random password that obeys the rules and is easily typed, such as `kp7m-xw3q-9tfh`."""
        groups = max(_GROUPS, -(-(self._min_length + 1) // (_GROUP + 1)))
        return "-".join("".join(secrets.choice(_TYPED) for _ in range(_GROUP)) for _ in range(groups))

    async def check(self, username: str, password: str) -> None:
        """Raise DataValidationError if a user may not have this password."""
        if len(password) < self._min_length:
            raise _invalid(f"must have at least {self._min_length} characters")
        if username.casefold() == password.casefold():
            raise _invalid("must not be the user's name")
        if await self._estimator.guesses(password, [username]) < MIN_GUESSES:
            raise _invalid(
                "is guessed too easily: it is a common password, the user's name, or one of them with little added; "
                "several words that have nothing to do with each other are a good one"
            )


def _invalid(problem: str) -> DataValidationError:
    return DataValidationError.at(("password",), problem)
