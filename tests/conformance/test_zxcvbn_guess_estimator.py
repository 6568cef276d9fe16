"""ZxcvbnGuessEstimator: the port's contract, and the bound on its work."""

import threading

import pytest
import zxcvbn

from pixyproxy.adapters.zxcvbn.guess_estimator import ZxcvbnGuessEstimator
from tests.conformance.contracts.guess_estimator import GuessEstimatorContract


class TestZxcvbnGuessEstimator(GuessEstimatorContract):
    adapter = ZxcvbnGuessEstimator

    @pytest.fixture
    def estimator(self) -> ZxcvbnGuessEstimator:
        return ZxcvbnGuessEstimator()


async def test_the_beginning_of_a_password_is_judged_outside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    judged = []

    def judge(password: str, user_inputs: list[str]) -> dict[str, int]:
        judged.append((len(password), threading.current_thread() is threading.main_thread()))
        return {"guesses": 1}

    monkeypatch.setattr(zxcvbn, "zxcvbn", judge)
    await ZxcvbnGuessEstimator().guesses("4@8({[<369!1|07$5+%2" * 50)
    assert judged == [(24, False)]
