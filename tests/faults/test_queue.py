"""A hundred callers at once on an upstream with a pace, two processes, and one of them killed in the middle."""

import asyncio
import signal
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.faults.databases import NAMES, database
from tests.faults.deployment import Deployment, deployment_of, wait_until
from tests.fixtures.openai.exchange import ReceivedRequest
from tests.fixtures.openai.upstream import GENERATIONS, FakeUpstream
from tests.fixtures.redis_server import PrivateRedis, private_redis
from tests.fixtures.service import Service

__all__ = ["private_redis"]

MINUTE_S, PACE = 6, 30
"""The minute of this test, and the pictures that the upstream allows within it."""
GREEDY, OTHERS, ELSEWHERE = 50, 79, 20
"""Requests of one caller, callers with one each, and those of them at the second process."""
PATIENCE_S = 240.0
TOGETHER_S = 0.5
"""Calls whose turns come together reach the upstream in any order, within this time."""
IN_THIS_MINUTE = f"""
from pixyproxy.application.queue import pacer, turn
from pixyproxy.entrypoints.cli import main
import sys
pacer.WINDOW_S = {MINUTE_S + 2}
turn.RECENT_S = {MINUTE_S}.0
sys.argv = ["pixyproxy", "serve"]
main.run()
"""


class PacedService(Service):
    """A service whose minute is short."""

    command = (sys.executable, "-c", IN_THIS_MINUTE)


class PacedUpstream(FakeUpstream):
    """An upstream that charges at most `PACE` pictures within any minute, and answers 429 beyond."""

    def __init__(self) -> None:
        super().__init__()
        self.order: list[str] = []
        self.times: dict[str, float] = {}
        self.refused = 0
        self._started: deque[float] = deque()

    def _choose(self, record: ReceivedRequest) -> str | None:
        if record.path != GENERATIONS:
            return super()._choose(record)
        now = time.monotonic()
        while self._started and self._started[0] <= now - MINUTE_S:
            self._started.popleft()
        if len(self._started) >= PACE:
            self.refused += 1
            return "429 retry_after=1"
        self._started.append(now)
        self.order.append(record.json["prompt"])
        self.times[record.json["prompt"]] = now
        return "ok delay=0.1"


@pytest.fixture(params=NAMES)
def paced(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Deployment]:
    with database(request.param, tmp_path) as kind, PacedUpstream() as upstream:
        values = {
            "PIXYPROXY_FORWARDED_ALLOW_IPS": "127.0.0.1",
            "PIXYPROXY_GENERATION_TIMEOUT_S": "30",
            "PIXYPROXY_QUEUE_TIMEOUT_S": "200",
        }
        yield deployment_of(tmp_path, upstream, kind, **values)


async def ask(client: httpx.AsyncClient, urls: list[str], caller: int, prompt: str) -> list[int]:
    """Ask for a picture, again at the next process when one breaks the connection; return the statuses."""
    statuses = []
    for url in urls:
        headers = {"X-Forwarded-For": f"10.0.{caller // 250}.{caller % 250}"}
        try:
            answer = await client.post(f"{url}/image", json={"prompt": prompt}, headers=headers)
        except httpx.TransportError:
            continue
        statuses.append(answer.status_code)
        break
    return statuses


def wait_for_charges(upstream: PacedUpstream, count: int) -> None:
    wait_until(lambda: len(upstream.order) >= count, f"{count} pictures were charged")


@pytest.mark.slow
def test_a_class_that_presses_the_button_together(paced: Deployment, private_redis: PrivateRedis) -> None:
    upstream = paced.upstream
    assert isinstance(upstream, PacedUpstream)
    values = {"PIXYPROXY_IMAGES_PER_MINUTE": str(PACE), "PIXYPROXY_LIMITS_URL": private_redis.url}
    one, two = (PacedService(paced.folder, **paced.values | values) for _ in range(2))
    with two:
        one.start()
        statuses = asyncio.run(a_class(paced, one, two))
    assert Counter(statuses).keys() <= {200, 502}
    in_doubt = Counter(statuses)[502]
    assert upstream.refused == 0, "the window was exceeded"
    prompts = Counter(upstream.order)
    assert set(prompts.values()) == {1}, "a picture was paid for twice"
    assert in_doubt <= PACE
    # Everybody's first comes before anybody's third.
    greedy = [upstream.times[prompt] for prompt in upstream.order if prompt.startswith("caller 0,")]
    firsts = [
        prompt for caller in range(1, OTHERS + ELSEWHERE + 1) if (prompt := f"caller {caller}, picture 0") in prompts
    ]
    assert max(upstream.times[prompt] for prompt in firsts) < greedy[2] + TOGETHER_S
    rows = dict(paced.database.query("SELECT prompt, status FROM images"))
    assert len(rows) == paced.database.query("SELECT COUNT(*) FROM images")[0][0] == PACE + GREEDY + OTHERS + ELSEWHERE
    # The calls of the killed process that had begun are in doubt, whether they had reached the upstream or not.
    unknown = {prompt for prompt, status in rows.items() if status == "unknown"}
    assert (Counter(rows.values()).keys() <= {"ready", "unknown"}, len(unknown)) == (True, in_doubt)
    assert rows.keys() - unknown <= prompts.keys() <= rows.keys()


async def a_class(paced: Deployment, one: Service, two: Service) -> list[int]:
    upstream = paced.upstream
    assert isinstance(upstream, PacedUpstream)
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(timeout=PATIENCE_S, limits=limits, verify=False) as client:

        def asked(urls: list[str], caller: int, picture: int) -> asyncio.Task[list[int]]:
            return asyncio.create_task(ask(client, urls, caller, f"caller {caller}, picture {picture}"))

        both = [one.url, two.url]
        tasks = [asked(both, 500, picture) for picture in range(PACE)]
        await asyncio.gather(*tasks)
        opened = len(upstream.order)
        # More than fill a window come before the greedy one, and as many after: neither depends on when it opens.
        half = OTHERS // 2 + 1
        tasks += [asked(both, caller, 0) for caller in range(1, half)]
        tasks += [asked(both, 0, picture) for picture in range(GREEDY)]
        tasks += [asked(both, caller, 0) for caller in range(half, OTHERS + 1)]
        tasks += [asked([two.url], caller, 0) for caller in range(OTHERS + 1, OTHERS + ELSEWHERE + 1)]
        await asyncio.to_thread(wait_for_charges, upstream, opened + PACE + PACE // 2)
        one.signal(signal.SIGKILL)
        one.wait()
        answers = await asyncio.gather(*tasks)
    return [status for statuses in answers for status in statuses[-1:]]
