"""The span of a call of a generator: attributes of the semantic conventions, its times, and its errors."""

import asyncio
import time
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind

from pixyproxy.adapters.opentelemetry.image_generator import TracedImageGenerator
from pixyproxy.adapters.opentelemetry.propagation import trace_fields
from pixyproxy.domain.errors import PromptRejectedError
from pixyproxy.domain.generation import GeneratedImage, GenerationRequest, PartialImage
from pixyproxy.domain.usage import CallUsage
from tests.fixtures.core import PNG, ScriptedGenerator
from tests.fixtures.generation import generated
from tests.fixtures.traces import Recording, recording

SERVER = {"server.address": "images.example", "server.port": 443}
PROMPT = "a secret prompt"


async def span_of(made: Recording, generator: ScriptedGenerator, **request: Any) -> ReadableSpan:
    """Make a call and return its span."""
    await generated(TracedImageGenerator(generator, made.tracer, SERVER), GenerationRequest(PROMPT, **request))
    [span] = made.spans.values()
    return span


async def test_the_span_has_the_attributes_of_the_conventions() -> None:
    generator = ScriptedGenerator()
    usage = CallUsage({"input_tokens": 12, "output_tokens": 1056})
    generator.outcome = GeneratedImage(PNG, model="duck-2-2026", usage={"output_tokens": 528}, call_usage=usage)
    async with recording() as made:
        span = await span_of(made, generator, model="duck-2", n=2)
    assert (span.name, span.kind) == ("generate_content duck-2", SpanKind.CLIENT)
    assert dict(span.attributes or {}) == SERVER | {
        "gen_ai.operation.name": "generate_content",
        "gen_ai.provider.name": "scripted",
        "gen_ai.output.type": "image",
        "gen_ai.request.model": "duck-2",
        "gen_ai.request.choice.count": 2,
        "gen_ai.response.model": "duck-2-2026",
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.output_tokens": 1056,
    }
    assert PROMPT not in span.to_json()


async def test_what_is_not_known_is_left_out() -> None:
    generator = ScriptedGenerator()
    generator.outcome = GeneratedImage(PNG)
    async with recording() as made:
        span = await span_of(made, generator)
    assert span.name == "generate_content"
    assert set(span.attributes or {}) - set(SERVER) == {
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.output.type",
    }


async def test_a_call_with_early_views_is_a_stream() -> None:
    generator = ScriptedGenerator()
    generator.partials = (PartialImage(PNG, 0),)
    async with recording() as made:
        await generated(
            TracedImageGenerator(generator, made.tracer, None), GenerationRequest(PROMPT), on_partial=lambda _: None
        )
        [span] = made.spans.values()
    assert (span.attributes or {})["gen_ai.request.stream"] is True
    assert span.kind is SpanKind.INTERNAL


async def test_it_ends_with_the_last_picture_and_not_with_what_becomes_of_it() -> None:
    async with recording() as made:
        async for _ in TracedImageGenerator(ScriptedGenerator(), made.tracer, None).generate(GenerationRequest(PROMPT)):
            stored_from = time.time_ns()
            await asyncio.sleep(0.02)
        [span] = made.spans.values()
    assert span.end_time is not None
    assert span.end_time <= stored_from


async def test_the_callers_own_work_is_no_part_of_it() -> None:
    within: list[dict[str, str]] = []
    generator = ScriptedGenerator()
    generator.on_call = lambda: within.append(trace_fields())
    async with recording() as made:
        with made.tracer.span("generation"):
            before = trace_fields()
            async for _ in TracedImageGenerator(generator, made.tracer, None).generate(GenerationRequest(PROMPT)):
                assert trace_fields() == before
        spans = made.spans
    call, context = within[0]["traceparent"], spans["generate_content"].context
    assert context is not None
    assert call.startswith(f"00-{context.trace_id:032x}-{context.span_id:016x}-")
    assert call != before["traceparent"]


async def test_an_error_is_recorded_by_its_class() -> None:
    generator = ScriptedGenerator()
    generator.outcome = PromptRejectedError(f"Refused: {PROMPT}")
    async with recording() as made:
        with pytest.raises(PromptRejectedError):
            await span_of(made, generator)
        [span] = made.spans.values()
    assert (span.attributes or {})["error.type"] == "PromptRejectedError"
    assert PROMPT not in span.to_json()


async def test_a_call_that_is_cancelled_ends() -> None:
    generator = ScriptedGenerator()
    generator.gate = asyncio.Event()
    async with recording() as made:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await span_of(made, generator)
        [span] = made.spans.values()
    assert (span.attributes or {})["error.type"] == "CancelledError"


async def test_a_caller_may_leave_in_the_middle() -> None:
    async with recording() as made:
        items = TracedImageGenerator(ScriptedGenerator(), made.tracer, None).generate(GenerationRequest(PROMPT, n=3))
        await anext(items)
        await items.aclose()
        [span] = made.spans.values()
    assert span.status.is_unset
