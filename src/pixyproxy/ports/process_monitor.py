"""Port to the processes of this host."""

from abc import ABC, abstractmethod


class ProcessMonitor(ABC):
    """Source of the name of this process and of the life of others; its methods do not block."""

    @property
    @abstractmethod
    def own_name(self) -> str:
        """The name of this process, which no other ever has, not even one after it: a lease outlives its process."""

    @abstractmethod
    def is_alive(self, name: str) -> bool | None:
        """Return whether the process of this name runs on this host; None for one of another host, or other text."""
