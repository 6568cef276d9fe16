"""Adapters whose steps are spans keep the contracts of their ports."""

from collections.abc import AsyncIterator

import pytest
from opentelemetry.trace import SpanKind

from pixyproxy.adapters.memory.blob_store import MemoryBlobStore
from pixyproxy.adapters.opentelemetry.image_generator import TracedImageGenerator
from pixyproxy.adapters.opentelemetry.traced_port import TracedPort, traced
from pixyproxy.adapters.sketch.image_generator import SketchImageGenerator
from tests.conformance.contracts.blob_store import BlobStoreContract
from tests.conformance.contracts.image_generator import ImageGeneratorContract
from tests.conformance.test_memory_blob_store import MemoryHarness
from tests.fixtures.traces import Recording, recording


@pytest.fixture
async def record() -> AsyncIterator[Recording]:
    """Record what is done in a trace."""
    async with recording() as made:
        with made.tracer.span("test"):
            yield made


class TestTracedImageGenerator(ImageGeneratorContract):
    adapter = TracedImageGenerator

    @pytest.fixture
    def unopened(self, record: Recording) -> TracedImageGenerator:
        return TracedImageGenerator(SketchImageGenerator(), record.tracer, None)


class TracedHarness(MemoryHarness):
    def __init__(self, record: Recording) -> None:
        super().__init__()
        self._record = record

    def store(self) -> MemoryBlobStore:
        return self._traced(super().store())

    def full_store(self) -> MemoryBlobStore:
        return self._traced(super().full_store())

    def _traced(self, store: MemoryBlobStore) -> MemoryBlobStore:
        return traced(store, self._record.tracer, "blobs", SpanKind.INTERNAL, {})


class TestTracedBlobStore(BlobStoreContract):
    adapter = MemoryBlobStore

    @pytest.fixture
    def harness(self, record: Recording) -> TracedHarness:
        return TracedHarness(record)

    def test_subclasses_its_port(self, harness: TracedHarness) -> None:  # type: ignore[override]
        assert type(harness.store()) is TracedPort
