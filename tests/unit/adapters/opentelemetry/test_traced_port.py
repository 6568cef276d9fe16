"""Spans around the methods of an adapter, within a trace only."""

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind

from pixyproxy.adapters.memory.image_repository import MemoryImageRepository
from pixyproxy.adapters.memory.storage import MemoryStorage
from pixyproxy.adapters.opentelemetry.traced_port import traced
from pixyproxy.domain.errors import BlobMissingError
from tests.fixtures.core import FailingBlobStore
from tests.fixtures.images import make_draft
from tests.fixtures.traces import recording


async def test_a_step_of_a_trace_is_a_span() -> None:
    async with recording() as made:
        kept = MemoryImageRepository(MemoryStorage())
        images = traced(kept, made.tracer, "images", SpanKind.CLIENT, {"db.system.name": "memory"})
        await images.open()
        with made.tracer.span("request"):
            [image] = await images.add_batch([make_draft(prompt="a secret")])
            assert await images.get(image.guid) == image
        spans = made.spans
    assert set(spans) == {"request", "images.add_batch", "images.get"}
    step, request = spans["images.add_batch"], spans["request"]
    assert step.parent is not None
    assert request.context is not None
    assert (step.parent.span_id, step.kind) == (request.context.span_id, SpanKind.CLIENT)
    assert dict(step.attributes or {}) == {"db.system.name": "memory"}
    assert "secret" not in step.to_json()


async def test_a_step_outside_of_a_trace_is_none() -> None:
    async with recording() as made:
        images = traced(MemoryImageRepository(MemoryStorage()), made.tracer, "images", SpanKind.CLIENT, {})
        await images.open()
        await images.add_batch([make_draft()])
        assert made.spans == {}


async def test_a_step_of_a_trace_that_is_not_sampled_is_none() -> None:
    context = trace.SpanContext(1, 1, is_remote=True, trace_flags=trace.TraceFlags(0))
    async with recording() as made:
        images = traced(MemoryImageRepository(MemoryStorage()), made.tracer, "images", SpanKind.CLIENT, {})
        await images.open()
        with trace.use_span(trace.NonRecordingSpan(context)):
            await images.add_batch([make_draft()])
        assert made.spans == {}


async def test_an_error_passes_and_is_recorded() -> None:
    async with recording() as made:
        blobs = traced(FailingBlobStore(), made.tracer, "blobs", SpanKind.INTERNAL, {})
        await blobs.open()
        with made.tracer.span("request"), pytest.raises(BlobMissingError):
            await blobs.read_sidecar("0b9f0000-0000-4000-8000-000000000000")
        assert (made.spans["blobs.read_sidecar"].attributes or {})["error.type"] == "BlobMissingError"


async def test_what_is_no_step_is_the_adapters_own() -> None:
    async with recording() as made:
        kept = FailingBlobStore()
        blobs = traced(kept, made.tracer, "blobs", SpanKind.INTERNAL, {})
        assert blobs.is_lasting is kept.is_lasting
        assert blobs.failures is kept.failures
        with pytest.raises(AttributeError):
            blobs.nothing  # type: ignore[attr-defined]  # noqa: B018
