"""The operating system's clock."""

from datetime import UTC, datetime

from pixyproxy.ports.clock import Clock


class SystemClock(Clock):
    """Clock of the operating system."""

    def now(self) -> datetime:
        return datetime.now(UTC)
