"""OpenAIImageGenerator: the port's contract, against the fake upstream on a real socket."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from pixyproxy.adapters.openai.image_generator import OpenAIImageGenerator
from pixyproxy.domain.generation import GenerationRequest
from tests.conformance.contracts.image_generator import ImageGeneratorContract
from tests.fixtures.openai.behaviours import tokens
from tests.fixtures.openai.upstream import FakeUpstream

KEY = "sk-test-0123456789abcdef"


class TestOpenAIImageGenerator(ImageGeneratorContract):
    adapter = OpenAIImageGenerator

    @pytest.fixture
    def upstream(self) -> Iterator[FakeUpstream]:
        with FakeUpstream() as upstream:
            yield upstream

    @pytest.fixture
    def unopened(self, upstream: FakeUpstream) -> OpenAIImageGenerator:
        return OpenAIImageGenerator(KEY, upstream.base_url, "gpt-image-2")

    @pytest.fixture
    def secrets(self) -> tuple[str, ...]:
        return (KEY, KEY[:10], "Bearer")

    @pytest.fixture
    def charges(self, upstream: FakeUpstream) -> Callable[[], int]:
        return lambda: len(upstream.charges)

    @pytest.fixture
    def usage_of_three(self) -> Mapping[str, Any]:
        return tokens(3)

    @pytest.fixture
    def refused(self) -> GenerationRequest:
        return GenerationRequest(prompt="[[400]]")

    @pytest.fixture
    def slow_request(self) -> GenerationRequest:
        return GenerationRequest(prompt="[[ok delay=600]]")
