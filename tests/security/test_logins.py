"""Guessed passwords and keys, and logins that crowd others out."""

import asyncio
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from tests.fixtures.core import SteppingClock
from tests.fixtures.http_app import ALICE, BOB, HttpApp, basic, http_app, log_lines
from tests.fixtures.redis_server import PrivateRedis
from tests.fixtures.service import Service, problem

STRANGER = "203.0.113.9"


def client_at(app: HttpApp, address: str) -> httpx.AsyncClient:
    """Return a client whose requests come from an address."""
    transport = httpx.ASGITransport(app.asgi, client=(address, 1))
    return httpx.AsyncClient(transport=transport, base_url="http://test.example")


async def status(app: HttpApp, address: str, name: str, password: str) -> int:
    async with client_at(app, address) as client:
        return (await client.get("/user/me", auth=basic((name, password)))).status_code


def stop_the_clock(app: HttpApp) -> SteppingClock:
    clock = app.container.clock()
    assert isinstance(clock, SteppingClock)
    clock.step = timedelta(0)
    return clock


async def test_guesses_are_refused_with_the_time_to_wait() -> None:
    async with http_app() as app:
        clock = stop_the_clock(app)
        for n in range(10):
            assert await status(app, STRANGER, "alice", f"guess {n}") == 401
        async with client_at(app, STRANGER) as client:
            for auth in (ALICE, ("alice", "guess 11")):
                for path in ("/user/me", "/image", "/healthz"):
                    refused = await client.get(path, auth=basic(auth))
                    assert (refused.status_code, problem(refused)["code"]) == (429, "too-many-logins")
                    assert refused.headers["retry-after"] == "300"
                    assert "www-authenticate" not in refused.headers
            below_v1 = await client.get("/v1/models", auth=basic(ALICE))
            assert (below_v1.status_code, below_v1.headers["retry-after"]) == (429, "300")
            assert below_v1.json()["error"]["code"] == "rate_limit_exceeded"
            assert (await client.get("/image")).status_code == 200
        assert await status(app, STRANGER, *BOB) == 200
        clock.advance(timedelta(minutes=5))
        assert await status(app, STRANGER, *ALICE) == 200


async def test_unknown_accounts_are_counted_as_known_ones() -> None:
    async with http_app() as app:
        stop_the_clock(app)
        for name in ("alice", "nobody"):
            statuses = [await status(app, STRANGER, name, f"guess {n}") for n in range(12)]
            assert statuses == [401] * 10 + [429] * 2


async def test_a_right_password_is_no_oracle_once_it_was_used_from_there() -> None:
    async with http_app() as app:
        stop_the_clock(app)
        assert await status(app, STRANGER, *ALICE) == 200
        for n in range(10):
            assert await status(app, STRANGER, "alice", f"guess {n}") == 401
        assert await status(app, STRANGER, *ALICE) == 429


async def test_addresses_of_one_ipv6_network_are_one_address() -> None:
    async with http_app() as app:
        stop_the_clock(app)
        assert await status(app, "2001:db8:0:2::1", *ALICE) == 200  # familiar, so that pairs decide alone
        for n in range(10):
            assert await status(app, f"2001:db8:0:1::{n:x}", "alice", f"guess {n}") == 401
        assert await status(app, "2001:db8:0:1:ffff::1", *ALICE) == 429
        assert await status(app, "2001:db8:0:2::ffff", *ALICE) == 200
        for n in range(10):
            assert await status(app, "192.0.2.1", "bob", f"guess {n}") == 401
        assert await status(app, "::ffff:192.0.2.1", *BOB) == 429


async def test_wrong_keys_block_neither_working_keys_nor_passwords_that_were_used_there() -> None:
    async with http_app() as app:
        stop_the_clock(app)
        token, _ = await app.container.key_service().add("alice")
        other, _ = await app.container.key_service().add("bob")
        async with client_at(app, STRANGER) as client:
            assert (await client.get("/user/me", headers={"x-api-key": token})).status_code == 200
            for n in range(100):
                wrong = await client.get("/user/me", headers={"authorization": f"Bearer pxy_{n:043}"})
                assert wrong.status_code == 401
            for headers in ({"x-api-key": "wrong"}, {"x-api-key": other}, {"api-key": f"pxy_{1:043}"}):
                assert (await client.get("/user/me", headers=headers)).status_code == 429
            assert (await client.get("/user/me", headers={"x-api-key": token})).status_code == 200
        assert await status(app, STRANGER, *ALICE) == 200
        assert await status(app, STRANGER, *BOB) == 429
        async with client_at(app, "192.0.2.1") as client:
            assert (await client.get("/user/me", headers={"x-api-key": other})).status_code == 200


async def test_logins_that_wait_do_not_crowd_out_others() -> None:
    async with http_app() as app:
        stop_the_clock(app)
        hasher = app.container.hasher()
        gate, verify = asyncio.Event(), hasher.verify

        async def slow(password_hash: str, password: str) -> bool:
            await gate.wait()
            return bool(await verify(password_hash, password))

        hasher.verify = slow
        with log_lines() as lines:
            guesses = [asyncio.create_task(status(app, STRANGER, f"user {n}", "guess")) for n in range(100)]
            while len([task for task in guesses if task.done()]) < 100 - 66:
                await asyncio.sleep(0)
            right = [
                asyncio.create_task(status(app, f"192.0.2.{n}", *user)) for n, user in enumerate((ALICE, BOB), start=1)
            ]
            await asyncio.sleep(0.05)
            gate.set()
            assert await asyncio.gather(*right) == [200, 200]
            statuses = await asyncio.gather(*guesses)
        assert (statuses.count(401), statuses.count(503)) == (64, 36)
        assert len([line for line in lines if "places for logins" in line and " WARNING " in line]) == 1
        assert not [line for line in lines if " ERROR " in line]


async def test_requests_with_the_same_credentials_are_verified_once() -> None:
    async with http_app() as app:
        stop_the_clock(app)
        for password, expected in ((ALICE[1], 200), ("wrong", 401)):
            statuses = await asyncio.gather(*(status(app, STRANGER, "alice", password) for _ in range(50)))
            assert statuses == [expected] * 50
        assert len(app.container.hasher().checks) == 2


def logged_in(service: Service, name: str, password: str, address: str) -> httpx.Response:
    with service.client((name, password)) as client:
        return client.get("/user/me", headers={"X-Forwarded-For": address})


@pytest.fixture
def redis_services(tmp_path: Path, private_redis: PrivateRedis) -> Iterator[list[Service]]:
    """Yield two services of one secret, as on two machines, that count in one Redis."""
    settings = {"PIXYPROXY_SECRET_KEY": "s" * 32, "PIXYPROXY_LIMITS_URL": private_redis.url}
    with Service(tmp_path / "one", **settings) as one, Service(tmp_path / "two", **settings) as two:
        for service in (one, two):
            service.add_user(*ALICE)
        yield [one, two]


def test_the_workers_of_a_machine_count_together(tmp_path: Path) -> None:
    with Service(tmp_path, PIXYPROXY_WORKERS="2") as service:
        service.add_user(*ALICE)
        for _ in range(8):
            assert logged_in(service, *ALICE, address=STRANGER).status_code == 200
        with ThreadPoolExecutor(8) as pool:
            guesses = [pool.submit(logged_in, service, "alice", f"guess {n}", STRANGER) for n in range(40)]
            statuses = [guess.result().status_code for guess in guesses]
        assert (statuses.count(401), statuses.count(429)) == (10, 30)
        for _ in range(8):
            assert logged_in(service, *ALICE, address=STRANGER).status_code == 429
        assert logged_in(service, *ALICE, address="192.0.2.1").status_code == 200
    assert (tmp_path / "data" / "limits.sqlite3").exists()


def test_machines_count_together_in_redis_and_for_themselves_without_it(
    redis_services: list[Service], private_redis: PrivateRedis
) -> None:
    one, two = redis_services
    for n in range(5):
        for service in redis_services:
            assert logged_in(service, "alice", f"guess {n} at {service.url}", STRANGER).status_code == 401
    for service in redis_services:
        refused = logged_in(service, *ALICE, address=STRANGER)
        assert (refused.status_code, problem(refused)["code"]) == (429, "too-many-logins")
    private_redis.stop()
    for n in range(3):
        assert logged_in(one, "alice", f"guess {n} alone", STRANGER).status_code == 401
    assert logged_in(one, *ALICE, address=STRANGER).status_code == 200
    assert len(re.findall(r" WARNING .*in this process only", one.log)) == 1
    private_redis.start()
    assert logged_in(two, *ALICE, address=STRANGER).status_code == 200


def test_the_start_needs_no_redis(tmp_path: Path) -> None:
    with Service(tmp_path, PIXYPROXY_LIMITS_URL="valkey://127.0.0.1:1") as service:
        service.add_user(*ALICE)
        assert logged_in(service, *ALICE, address=STRANGER).status_code == 200
        assert len(re.findall(r" WARNING .*in this process only", service.log)) == 1
