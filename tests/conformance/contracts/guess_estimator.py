"""Conformance suite of the port GuessEstimator.

An adapter's suite subclasses `GuessEstimatorContract` and supplies the fixture `estimator`.
"""

from typing import ClassVar

import pytest

from pixyproxy.ports.passwords.guess_estimator import GuessEstimator


class GuessEstimatorContract:
    """Tests of each sentence of the port."""

    adapter: ClassVar[type[GuessEstimator]]

    @pytest.fixture
    def estimator(self) -> GuessEstimator:
        raise NotImplementedError("an adapter's suite supplies this fixture")

    def test_subclasses_its_port(self, estimator: GuessEstimator) -> None:
        assert GuessEstimator in self.adapter.__mro__
        assert type(estimator) is self.adapter

    @pytest.mark.parametrize("common", ["password1234", "qwertyuiop12", "123456789012", "PasswordPassword", ""])
    async def test_common_passwords_and_patterns_are_guessed_early(
        self, estimator: GuessEstimator, common: str
    ) -> None:
        assert await estimator.guesses(common) < 1e6

    async def test_unrelated_words_are_not(self, estimator: GuessEstimator) -> None:
        assert await estimator.guesses("correct horse battery staple") > 1e9

    async def test_words_of_the_owner_are_guessed_early(self, estimator: GuessEstimator) -> None:
        name = "wolfeschlegelstein"
        assert await estimator.guesses(name) > 1e6
        assert await estimator.guesses(name, [name]) < 1e6

    @pytest.mark.parametrize(
        "text", ["密語密語密語密語密語密語", "🦆" * 12, "\0" * 12, "\ud800" * 12, "x" * 1024], ids=ascii
    )
    async def test_any_text_can_be_judged(self, estimator: GuessEstimator, text: str) -> None:
        assert await estimator.guesses(text, ["Zoë", "\ud800", ""]) > 0
