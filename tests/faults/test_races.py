"""Eight connections to two processes send the same request at once: one picture, one charge."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.faults.databases import NAMES
from tests.faults.deployment import new_deployment
from tests.fixtures.service import PATIENCE_S, lasting

CONNECTIONS = 8
AT_ONCE = 5
"""Races that run side by side, each with its own connections."""


@pytest.mark.parametrize("races", [20, pytest.param(500, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", NAMES)
async def test_a_key_sent_on_eight_connections_to_two_processes_is_charged_once(
    name: str, races: int, tmp_path: Path
) -> None:
    with new_deployment(tmp_path, name) as deployment:
        deployment.upstream.defaults["/v1/images/generations"] = "ok delay=0.02"
        with deployment.service() as one, deployment.service() as other:
            waiting = iter(range(races))
            outcomes = await asyncio.gather(*(_race([one.url, other.url], waiting) for _ in range(AT_ONCE)))
        guids = [guid for found in outcomes for guid in found]
        assert len(guids) == len(set(guids)) == races
        charges = deployment.charges()
        assert len(charges) == charges.total() == races
        assert len(deployment.upstream.generations) == races
        assert all(statuses == ["ready"] for statuses in deployment.statuses().values())
        assert len(deployment.statuses()) == races


async def _race(urls: list[str], numbers: Iterator[int]) -> list[str]:
    """Run all races, and return the GUID of each."""
    guids = []
    clients = [
        httpx.AsyncClient(base_url=urls[number % 2], timeout=PATIENCE_S, trust_env=False, verify=False)
        for number in range(CONNECTIONS)
    ]
    try:
        for number in numbers:
            body, headers = {"prompt": f"race {number}"}, {"Idempotency-Key": f"race-{number}"}
            answers = await asyncio.gather(*(client.post("/image", json=body, headers=headers) for client in clients))
            assert [answer.status_code for answer in answers] == [200] * CONNECTIONS, [one.text for one in answers]
            assert sum("Idempotent-Replayed" not in answer.headers for answer in answers) == 1
            images = [lasting(answer.json()) for answer in answers]
            assert all(image == images[0] for image in images)
            pictures = await asyncio.gather(*(client.get(images[0]["content_url"]) for client in clients[:2]))
            assert {picture.status_code for picture in pictures} == {200}
            assert len({picture.content for picture in pictures}) == 1
            guids.append(images[0]["guid"])
    finally:
        for client in clients:
            await client.aclose()
    return guids
