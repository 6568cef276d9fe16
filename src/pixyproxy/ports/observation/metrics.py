"""The port for counting and timing the work of the service."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from decimal import Decimal

from pixyproxy.domain.image import Image


@dataclass(frozen=True, slots=True)
class CallTimes:
    """Seconds of one upstream call: from its submission to its start, in the generator, and in the service itself."""

    waited_s: float
    upstream_s: float
    own_s: float


@dataclass(frozen=True, slots=True)
class Survey:
    """The contents of the database, as far as they are known; None is not known."""

    available: bool
    """True if the database answered."""
    queued: int | None = None
    unknown: int | None = None
    reservations: int | None = None
    reserved_usd: Decimal | None = None
    possibly_billed_usd: Decimal | None = None
    images: int | None = None
    stored_bytes: int | None = None


class Metrics(ABC):
    """Counters and histograms of all workers of this machine; counting waits for nothing and raises nothing.

    No value names a user, and texts that callers choose, such as models, make a bounded number of series.
    """

    @abstractmethod
    def request_ended(self, method: str, route: str, status: int) -> None:
        """Count a request; `route` is the pattern of its path, not the path."""

    @abstractmethod
    def call_began(self) -> None:
        """Count an upstream call as in flight."""

    @abstractmethod
    def call_ended(self, generator: str, times: CallTimes) -> None:
        """Count an upstream call as in flight no more, and its times in histograms by generator."""

    @abstractmethod
    def picture_ended(self, image: Image) -> None:
        """Count the outcome of a picture by generator, model and status; with its bytes and cost if it is `ready`.

        A model counts by its name once a picture of it was `ready`; until then, and beyond a number of names, it
        counts as `other`. No model at all counts as `default`.
        """

    @abstractmethod
    async def exposition(self, survey: Survey) -> bytes:
        """Return all metrics and the survey in the text format of Prometheus; leave out what is not known."""
