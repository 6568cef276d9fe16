"""The clock of the machine."""

from datetime import UTC, datetime

from pixyproxy.ports.clock import Clock


class SystemClock(Clock):
    """Tells the time of the operating system."""

    def now(self) -> datetime:
        return datetime.now(UTC)
