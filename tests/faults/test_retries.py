"""Requests without a key that are repeated at another process as soon as the first attempt failed: one charge each."""

import asyncio
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.faults.databases import NAMES
from tests.faults.deployment import Deployment, new_deployment, wait_until
from tests.fixtures.openai.gateway import Gateway
from tests.fixtures.service import PATIENCE_S, Service

AT_ONCE = 8
PATHS = ["/image", "/v1/images/generations"]


@pytest.fixture(params=NAMES)
def deployment(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Deployment]:
    with new_deployment(tmp_path, request.param) as made:
        yield made


async def test_a_repeat_joins_the_call_whose_caller_hung_up_and_no_other(deployment: Deployment) -> None:
    with deployment.service() as one, deployment.service() as other:
        # Both log to one file: the upstream answers once all have repeated.
        everybody = Gateway(one, deployment.upstream, key="")
        everybody.hold(lambda: one.log.count("REQUEST START POST") >= 2 * AT_ONCE, *["held"] * AT_ONCE)

        async def hang_up_and_repeat(number: int) -> str:
            prompt, path = f"race {number}", PATHS[number % 2]
            await _send_and_hang_up(one, deployment, path, prompt)
            answer = await _post(other, path, prompt)
            assert (answer.status_code, answer.headers["Idempotent-Replayed"]) == (200, "true")
            again = await _post(one, path, prompt)
            assert again.headers["Idempotent-Replayed"] == "true"
            return prompt

        prompts = await asyncio.gather(*(hang_up_and_repeat(number) for number in range(AT_ONCE)))
        assert deployment.charges() == dict.fromkeys(prompts, 1)
        assert deployment.statuses() == {prompt: ["ready"] for prompt in prompts}
        # Those whose callers wait are several pictures.
        deployment.upstream.defaults["/v1/images/generations"] = "ok delay=2"
        answers = await asyncio.gather(*(_post(service, "/image", "twins") for service in (one, other, one, other)))
        assert len({answer.json()["guid"] for answer in answers}) == deployment.charges()["twins"] == 4


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_repeat_joins_the_call_of_a_process_that_ended(deployment: Deployment, number: signal.Signals) -> None:
    deployment.upstream.defaults["/v1/images/generations"] = "hang"
    prompts = ["interrupted 0", "interrupted 1"]
    one, other = deployment.service(PIXYPROXY_DRAIN_S="0.2"), deployment.service()
    other.start()
    one.start()
    try:
        first = [asyncio.create_task(_post(one, path, prompt)) for path, prompt in zip(PATHS, prompts, strict=True)]
        await asyncio.to_thread(deployment.wait_for_generations, 2)
        one.signal(number)
        await asyncio.gather(*first, return_exceptions=True)
        # Nobody has waited for the process yet.
        answers = await asyncio.gather(
            *(_post(other, path, prompt) for path, prompt in zip(PATHS, prompts, strict=True))
        )
        await asyncio.to_thread(one.wait)
        assert [answer.status_code for answer in answers] == [502, 502]
        for answer in answers:
            assert answer.headers["Idempotent-Replayed"] == "true"
            assert "new Idempotency-Key. Without one, the same request gets this outcome until 20" in answer.text
        assert answers[1].headers["x-should-retry"] == "false"
        assert deployment.charges() == dict.fromkeys(prompts, 1)
    finally:
        # `stop` would find the tracebacks with which the server logs interrupted requests.
        other.signal()
        other.wait()


async def _send_and_hang_up(service: Service, deployment: Deployment, path: str, prompt: str) -> None:
    """Send a request, and close the connection once it has reached the upstream."""
    host, _, port = service.url.removeprefix("http://").partition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    body = json.dumps({"prompt": prompt}).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    await asyncio.to_thread(wait_until, lambda: deployment.charges()[prompt], f"{prompt} reached the upstream")
    writer.close()


async def _post(service: Service, path: str, prompt: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=service.url, timeout=PATIENCE_S, trust_env=False, verify=False) as client:
        return await client.post(path, json={"prompt": prompt})
