"""Spans of calls of a generator, by the semantic conventions for generative AI."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from opentelemetry.trace import Span, SpanKind

from pixyproxy.adapters.opentelemetry.tracer import Attributes, OpenTelemetryTracer, current, fail
from pixyproxy.domain.generation import GeneratedImage, GenerationRequest, GeneratorModel, PartialImage
from pixyproxy.domain.usage import tokens_of
from pixyproxy.ports.image_generator import ImageGenerator

_OPERATION = "generate_content"


class TracedImageGenerator(ImageGenerator):
    """A generator each of whose calls is a span, from its beginning to its last picture or its error."""

    def __init__(self, generator: ImageGenerator, tracer: OpenTelemetryTracer, server: Attributes | None) -> None:
        """Take the attributes of the server that the generator calls, None if it works in this process."""
        self._generator = generator
        self._tracer = tracer
        self._kind = SpanKind.INTERNAL if server is None else SpanKind.CLIENT
        self._server = server or {}

    @property
    def name(self) -> str:
        return self._generator.name

    @property
    def default_model(self) -> str | None:
        return self._generator.default_model

    @property
    def can_edit(self) -> bool:
        return self._generator.can_edit

    @property
    def has_free_early_views(self) -> bool:
        return self._generator.has_free_early_views

    async def open(self) -> None:
        await self._generator.open()

    async def close(self) -> None:
        await self._generator.close()

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[PartialImage | GeneratedImage, None]:
        span = self._begin(request)
        ended_at = None
        try:
            async with aclosing(self._generator.generate(request)) as items:
                while True:
                    # The caller's own work between two items is no part of the call.
                    with current(span):
                        try:
                            item = await anext(items)
                        except StopAsyncIteration:
                            return
                    ended_at = time.time_ns()
                    if isinstance(item, GeneratedImage):
                        _describe(span, item)
                    yield item
        except GeneratorExit:
            raise
        except BaseException as error:
            ended_at = None
            fail(span, error)
            raise
        finally:
            span.end(ended_at)

    async def read_rescued(self, data: bytes) -> tuple[GeneratedImage, ...]:
        return await self._generator.read_rescued(data)

    async def models(self) -> tuple[GeneratorModel, ...]:
        return await self._generator.models()

    async def check(self) -> str:
        return await self._generator.check()

    def _begin(self, request: GenerationRequest) -> Span:
        attributes: dict[str, str | int | bool] = {
            "gen_ai.operation.name": _OPERATION,
            "gen_ai.provider.name": self.name,
            "gen_ai.output.type": "image",
            **self._server,
        }
        name = _OPERATION
        if (model := request.model or self.default_model) is not None:
            attributes["gen_ai.request.model"] = model
            name = f"{_OPERATION} {model}"
        if request.n != 1:
            attributes["gen_ai.request.choice.count"] = request.n
        if request.early_views:
            attributes["gen_ai.request.stream"] = True
        return self._tracer.begin(name, self._kind, attributes)


def _describe(span: Span, image: GeneratedImage) -> None:
    """Add what the generator reports of a picture; the usage is that of the whole call."""
    if image.model is not None:
        span.set_attribute("gen_ai.response.model", image.model)
    usage = image.usage if image.call_usage is None else image.call_usage.usage
    for name in ("input_tokens", "output_tokens"):
        if (tokens := tokens_of(usage, name)) is not None:
            span.set_attribute(f"gen_ai.usage.{name}", tokens)
