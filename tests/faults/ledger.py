"""A fake upstream that succeeds and fails at random, and its ledger of charges by prompt."""

import random
from collections import Counter

from tests.fixtures.openai.exchange import ReceivedRequest
from tests.fixtures.openai.upstream import GENERATIONS, FakeUpstream

PAID_AND_NO_PICTURE = {
    "reset-before-headers",
    "reset-mid-body",
    "close-before-headers",
    "not-a-picture",
}

_ANSWERS: dict[str, float] = {
    "ok": 60,
    "ok chunked=true": 4,
    "ok size=6000": 10,
    "ok size=150000": 2,
    "moderation": 4,
    "500": 4,
    "503": 2,
    "429 retry_after=0.05": 2,
    "error-cut": 1,
    "reset-before-headers": 3,
    "reset-mid-body": 3,
    "close-before-headers": 2,
    "short-length": 2,
    "cut-chunked": 2,
    "not-a-picture": 2,
}
"""The weight of each behaviour."""


class RandomUpstream(FakeUpstream):
    """Answers each generation with a random behaviour; half of the good responses take some time."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._chance = chance

    def _choose(self, record: ReceivedRequest) -> str | None:
        if record.path != GENERATIONS:
            return super()._choose(record)
        (spec,) = self._chance.choices(list(_ANSWERS), list(_ANSWERS.values()))
        if spec.startswith("ok") and self._chance.random() < 0.5:
            spec += f" delay={self._chance.uniform(0, 0.2):.3f}"
        return spec


class Ledger:
    """The charges of an upstream by prompt; `update` continues where it stopped."""

    def __init__(self, upstream: FakeUpstream) -> None:
        self._upstream = upstream
        self._read = 0
        self.calls = 0
        self.charges: Counter[str] = Counter()
        self.pictures: set[str] = set()
        """Prompts that were charged for a picture, not for nonsense or a broken connection."""

    def update(self) -> None:
        while self._read < len(self._upstream.requests):
            record = self._upstream.requests[self._read]
            if not record.behaviour:
                return  # it has just arrived: its behaviour is not chosen yet
            self._read += 1
            if record.path == GENERATIONS:
                self.calls += 1
                if record.charged:
                    prompt = record.json["prompt"]
                    self.charges[prompt] += 1
                    if record.behaviour not in PAID_AND_NO_PICTURE:
                        self.pictures.add(prompt)
