"""Clients that request one picture after another through HAProxy, and the record of all that they were told."""

import asyncio
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import httpx

from tests.faults.deployment import PATIENCE_S

CLIENTS = 6
_PAUSE_S = 0.1

PASSING = {
    (500, "blob-store-unavailable"),
    (503, "blob-store-unavailable"),
    (503, "database-unavailable"),
    (503, "capacity-exceeded"),
    (409, "idempotency-key-taken"),
}
"""Failures while a part is away, after which a repeat may succeed."""
INTERRUPTED = (502, "generation-interrupted")
"""The answer to a request with a key whose process was killed: it may have been paid for, and is not repeated."""


@dataclass
class Load:
    """The clients; half of them use a key, and repeat a request until it has an outcome."""

    url: str
    acknowledged: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Prompt and SHA-256 of each GUID that a 200 response named."""
    mentioned: dict[str, str] = field(default_factory=dict)
    """Prompt of each GUID that an error named: it must have a row."""
    by_key: dict[str, str] = field(default_factory=dict)
    """GUID of each key whose picture was acknowledged."""
    interrupted: set[str] = field(default_factory=set)
    """Prompts of requests that ended as interrupted."""
    answers: Counter[str] = field(default_factory=Counter)
    unexpected: list[str] = field(default_factory=list)
    successes: list[float] = field(default_factory=list)
    """Times of 200 responses, by the monotonic clock."""

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def start(self) -> None:
        """Let all clients begin."""
        self._thread.start()

    def stop(self) -> None:
        """Let every client finish its request, without repeating it any more, and wait for them."""
        self._stop.set()
        self._thread.join()

    async def _run(self) -> None:
        await asyncio.gather(*(self._client(number) for number in range(CLIENTS)))

    async def _client(self, number: int) -> None:
        wishes = 0
        async with httpx.AsyncClient(base_url=self.url, timeout=PATIENCE_S, trust_env=False, verify=False) as http:
            while not self._stop.is_set():
                wishes += 1
                prompt = f"machines-{number}-{wishes}"
                key = prompt if number % 2 else None
                while not await self._request(http, prompt, key) and not self._stop.is_set():
                    await asyncio.sleep(_PAUSE_S)
                    if key is None:
                        break

    async def _request(self, http: httpx.AsyncClient, prompt: str, key: str | None) -> bool:
        """Request a picture, record the answer and return whether it is final."""
        headers = {} if key is None else {"Idempotency-Key": key}
        try:
            answer = await http.post("/image", json={"prompt": prompt}, headers=headers)
        except httpx.TransportError as error:
            self.answers[type(error).__name__] += 1
            return False
        if answer.headers.get("content-type") == "text/html":
            # HAProxy's own: no service is ready (503), or the one that was asked has died (502).
            self.answers[f"{answer.status_code} of HAProxy"] += 1
            return False
        body = answer.json()
        if answer.status_code == 200:
            self.answers["200"] += 1
            self._acknowledge(prompt, key, body["guid"], body["sha256"])
            return True
        self.answers[f"{answer.status_code} {body['code']}"] += 1
        if "guid" in body:
            self.mentioned[body["guid"]] = prompt
        if (answer.status_code, body["code"]) == INTERRUPTED:
            self.interrupted.add(prompt)
            return True
        if (answer.status_code, body["code"]) not in PASSING:
            self.unexpected.append(f"{prompt}: {answer.status_code} {answer.text}")
        return False

    def _acknowledge(self, prompt: str, key: str | None, guid: str, sha256: str) -> None:
        known = self.acknowledged.setdefault(guid, (prompt, sha256))
        if known != (prompt, sha256):
            self.unexpected.append(f"image {guid} was acknowledged as {known} and then for {prompt} as {sha256}")
        if key is not None and self.by_key.setdefault(key, guid) != guid:
            self.unexpected.append(f"{prompt}: got image {guid} after image {self.by_key[key]}")
        self.successes.append(time.monotonic())
