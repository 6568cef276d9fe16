"""Caps hold against parallel requests on every route that pays, with two processes, and the ledger agrees."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from PIL import Image

from tests.faults.databases import NAMES
from tests.faults.deployment import Deployment, new_deployment, wait_until
from tests.fixtures.service import Service, pixyproxy, problem

ALICE, BOB = ("alice", "secret of alice"), ("bob", "secret of bob")
COST = "x-pixyproxy-cost-usd"
PRICES = '[[prices]]\nmodel = "flat"\nusd_per_image = "0.10"\n'


def png() -> bytes:
    file = BytesIO()
    Image.new("RGB", (8, 8), "teal").save(file, "png")
    return file.getvalue()


def native(client: httpx.Client, number: int) -> httpx.Response:
    return client.post("/image", json={"prompt": f"a duck {number}", "model": "flat"})


def asynchronous(client: httpx.Client, number: int) -> httpx.Response:
    body = {"prompt": f"a slow duck {number}", "model": "flat"}
    return client.post("/image", json=body, headers={"Prefer": "respond-async"})


def several(client: httpx.Client, number: int) -> httpx.Response:
    return client.post("/v1/images/generations", json={"prompt": f"ducks {number}", "model": "flat", "n": 3})


def streamed(client: httpx.Client, number: int) -> httpx.Response:
    body = {"prompt": f"a stream of ducks {number}", "model": "flat", "stream": True}
    return client.post("/v1/images/generations", json=body)


def edited(client: httpx.Client, number: int) -> httpx.Response:
    form = {"prompt": f"a duck with a hat {number}", "model": "flat"}
    return client.post("/v1/images/edits", data=form, files={"image": ("duck.png", png(), "image/png")})


ROUTES: tuple[Callable[[httpx.Client, int], httpx.Response], ...] = (native, asynchronous, several, streamed, edited)


@pytest.fixture(params=["sqlite", pytest.param("mysql", marks=pytest.mark.slow)])
def deployment(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Deployment]:
    prices = tmp_path / "prices.toml"
    prices.write_text(PRICES)
    assert request.param in NAMES
    with new_deployment(tmp_path, request.param, PIXYPROXY_PRICES=str(prices), PIXYPROXY_WORKERS="2") as made:
        yield made


def command(service: Service, *arguments: str) -> str:
    done = pixyproxy(service.folder, *arguments, **service.values)
    assert (done.returncode, done.stderr.strip()) == (0, ""), done.stderr + done.stdout
    return done.stdout


def pictures_paid(deployment: Deployment) -> int:
    return sum(
        record.json.get("n", 1) if record.path.endswith("generations") else 1 for record in deployment.upstream.charges
    )


def test_a_cap_for_ten_pictures_is_never_exceeded(deployment: Deployment) -> None:
    with deployment.service() as service:
        service.add_user(*ALICE)
        assert command(service, "budget", "set", "user:alice", "1.00") == "user:alice: 1.000000 USD per month\n"
        requests = 100 if "sqlite" in deployment.values["PIXYPROXY_REPOSITORY"] else 200
        with service.client(ALICE) as client, ThreadPoolExecutor(25) as pool:
            answers = list(pool.map(lambda number: ROUTES[number % 5](client, number), range(requests)))
            refused = [answer for answer in answers if answer.status_code not in {200, 202}]
            assert all(answer.status_code in {402, 429} for answer in refused), {a.status_code: a.text for a in refused}
            assert requests - 10 <= len(refused) < requests
            wait_until(
                lambda: client.get("/budget").json()[0]["reserved_usd"] == "0.000000", "all generations have ended"
            )
            (budget,) = client.get("/budget").json()
            left = Decimal(budget["cap_usd"]) - Decimal(budget["spent_usd"])
        paid = pictures_paid(deployment)
        assert paid <= 10
        assert Decimal(budget["spent_usd"]) == Decimal("0.10") * paid
        assert Decimal(0) <= left < Decimal("0.30")
        assert deployment.database.query("SELECT COUNT(*) FROM images WHERE status = 'ready'")[0][0] == paid
        assert "agrees with its charges" in command(service, "check", "--deep")


def test_refusals_say_what_is_left_and_keep_nothing(deployment: Deployment) -> None:
    with deployment.service(PIXYPROXY_WORKERS="1") as service:
        service.add_user(*ALICE)
        service.add_user(*BOB)
        command(service, "budget", "set", "user:alice", "0.25", "--per", "total")
        with service.client(ALICE) as client:
            made = native(client, 1)
            assert made.json()["cost"] == {
                "usd": "0.100000",
                "state": "priced",
                "source": made.json()["cost"]["source"],
                "prices_of": made.json()["created_at"][:10],
            }
            assert made.headers["x-pixyproxy-cost-usd"] == "0.100000"
            refused = problem(several_native := client.post("/image", json={"prompt": "a", "model": "nobody-knows"}))
            assert (several_native.status_code, refused["code"]) == (402, "unpriced-model")
            answer = several(client, 2)
            assert (answer.status_code, answer.headers["x-should-retry"]) == (429, "false")
            error = answer.json()["error"]
            assert (error["code"], error["type"]) == ("insufficient_quota", "insufficient_quota")
            assert "'user:alice' of 0.250000 USD has 0.150000 USD left" in error["message"]
            assert "does not reset" in error["message"]
            assert native(client, 3).status_code == 200
            refused = problem(answer := native(client, 4))
            assert (answer.status_code, refused["code"]) == (402, "budget-exceeded")
            # A replay costs nothing.
            with_key = {"Idempotency-Key": "key-1"}
            body = {"prompt": "a duck with a key", "model": "flat"}
            command(service, "budget", "set", "user:alice", "0.30", "--per", "total")
            first = client.post("/image", json=body, headers=with_key)
            again = client.post("/image", json=body, headers=with_key)
            assert (first.status_code, again.status_code) == (200, 200)
            assert again.headers["idempotent-replayed"] == "true"
            assert (first.headers[COST], again.headers[COST]) == ("0.100000", "0.000000")
            priced = client.post("/price", json={"prompt": "a", "model": "flat", "n": 2}).json()
            assert priced["budgets"] == client.get("/budget").json()
            assert priced["budgets"][0] == {
                "scope": "user:alice",
                "per": "total",
                "cap_usd": "0.300000",
                "spent_usd": "0.300000",
                "reserved_usd": "0.000000",
                "possibly_usd": "0.000000",
                "resets_at": None,
            }
        with service.client(BOB) as client:
            assert client.get("/budget").json() == []
            assert native(client, 5).status_code == 200
        assert pictures_paid(deployment) == 4
        assert deployment.database.query("SELECT COUNT(*) FROM images")[0][0] == 4


def test_what_may_have_been_billed_is_held_until_a_person_settles_it(deployment: Deployment) -> None:
    with deployment.service(PIXYPROXY_WORKERS="1", PIXYPROXY_GENERATION_TIMEOUT_S="1") as service:
        service.add_user(*ALICE)
        command(service, "budget", "set", "user:alice", "0.20")
        deployment.upstream.script("hang", "hang")
        with service.client(ALICE) as client:
            guids = [problem(native(client, number))["guid"] for number in range(2)]
            (budget,) = client.get("/budget").json()
            assert (budget["possibly_usd"], budget["spent_usd"]) == ("0.200000", "0.000000")
            assert client.get(f"/image/{guids[0]}").json()["cost"]["state"] == "possibly-billed"
            assert native(client, 3).status_code == 402
            assert "it is failed" in command(service, "settle", guids[0], "--unbilled")
            assert "it is unknown" in command(service, "settle", guids[1], "--billed", "0.05")
            assert client.get(f"/image/{guids[0]}").json()["status"] == "failed"
            cost = client.get(f"/image/{guids[1]}").json()["cost"]
            assert (cost["usd"], cost["state"]) == ("0.050000", "settled")
            assert native(client, 4).status_code == 200
            (budget,) = client.get("/budget").json()
            assert (budget["possibly_usd"], budget["spent_usd"]) == ("0.000000", "0.150000")
        listed = command(service, "budget", "list").splitlines()
        assert listed[1].split() == ["user:alice", "month", "0.200000", "0.150000", "0.000000", "0.000000", "0.050000"]
