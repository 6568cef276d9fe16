"""The tracer of a service without traces."""

from contextlib import AbstractContextManager, nullcontext

from pixyproxy.ports.observation.tracer import Tracer


class NoTracer(Tracer):
    """Records nothing."""

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    def span(self, name: str, **attributes: str) -> AbstractContextManager[None]:
        return nullcontext()

    def annotate(self, **attributes: str) -> None:
        pass
