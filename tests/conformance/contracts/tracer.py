"""Conformance suite of the port Tracer.

An adapter's suite subclasses `TracerContract`, sets `adapter` and supplies the fixture `unopened`.
"""

from typing import ClassVar

import pytest

from pixyproxy.ports.observation.tracer import Tracer


class TracerContract:
    """Tests of each sentence of the port."""

    adapter: ClassVar[type[Tracer]]

    @pytest.fixture
    def unopened(self) -> Tracer:
        raise NotImplementedError("an adapter's suite supplies this fixture")

    def work(self, tracer: Tracer) -> None:
        """Use all methods, outside of a span and within; an error passes."""
        tracer.annotate(guid="1")
        with tracer.span("generation", guid="1"):
            tracer.annotate(request_id="host-1")
            with pytest.raises(ZeroDivisionError), tracer.span("queue.wait"):
                raise ZeroDivisionError

    def test_subclasses_its_port(self, unopened: Tracer) -> None:
        assert Tracer in self.adapter.__mro__
        assert type(unopened) is self.adapter

    def test_it_raises_nothing_before_it_is_opened(self, unopened: Tracer) -> None:
        self.work(unopened)

    async def test_it_raises_nothing_after_it_is_closed(self, unopened: Tracer) -> None:
        await unopened.open()
        self.work(unopened)
        with unopened.span("generation"):
            await unopened.close()
        self.work(unopened)

    async def test_it_may_be_closed_twice_and_opened_again(self, unopened: Tracer) -> None:
        await unopened.close()
        for _ in range(2):
            await unopened.open()
            await unopened.open()
            self.work(unopened)
            await unopened.close()
            await unopened.close()
