"""The measurement of one upstream call."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from types import TracebackType

from pixyproxy.domain.image import Image
from pixyproxy.ports.observation.metrics import CallTimes, Metrics


class MeasuredCall:
    """A context manager around one call, which counts it as in flight and then its times."""

    def __init__(self, metrics: Metrics, image: Image, now: datetime) -> None:
        """Take the first image of the call, and the time at which the call starts."""
        self._metrics = metrics
        self._generator = image.request.generator
        self._waited_s = max(0.0, (now - image.request.created_at).total_seconds())
        self._upstream_s = 0.0

    def __enter__(self) -> "MeasuredCall":
        self._began = time.perf_counter()
        self._metrics.call_began()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        own_s = max(0.0, time.perf_counter() - self._began - self._upstream_s)
        self._metrics.call_ended(self._generator, CallTimes(self._waited_s, self._upstream_s, own_s))

    @contextmanager
    def upstream(self) -> Iterator[None]:
        """Count the time in this context as the generator's."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._upstream_s += time.perf_counter() - began
