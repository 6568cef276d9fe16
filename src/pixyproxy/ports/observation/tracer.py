"""The port for traces: spans of the steps of the service."""

from abc import abstractmethod
from contextlib import AbstractContextManager

from pixyproxy.ports.resource import Resource


class Tracer(Resource):
    """Records spans: the time and the outcome of a step, below the span of the step that it is part of.

    Tracing waits for nothing and raises nothing, also before it is opened and after it is closed. Names are constants
    of the code, and no value is a prompt, a secret or the name of a user.
    """

    @abstractmethod
    def span(self, name: str, **attributes: str) -> AbstractContextManager[None]:
        """Record the work in this context as a span; an error passes, and is recorded by the name of its class."""

    @abstractmethod
    def annotate(self, **attributes: str) -> None:
        """Add attributes to the span of which this is part, if there is one."""
