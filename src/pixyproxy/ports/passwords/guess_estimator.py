"""The port to estimates of how soon a password is guessed."""

from abc import ABC, abstractmethod
from collections.abc import Sequence


class GuessEstimator(ABC):
    """Estimator of the guesses of somebody who tries common passwords, words and patterns first."""

    @abstractmethod
    async def guesses(self, password: str, known: Sequence[str] = ()) -> float:
        """Return the number of guesses that find a password, for somebody who knows these words of its owner.

        A long password may be judged by its beginning. It takes less than some seconds, outside the event loop.
        """
