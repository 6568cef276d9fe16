"""`POST /price`: the checks of `POST /image`, and nothing made."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pixyproxy.domain.generation import GeneratedImage
from pixyproxy.domain.money.budgets import Per
from tests.fixtures.core import PNG
from tests.fixtures.http_app import ALICE, BOB, HttpApp, http_app

FLAT = '[[prices]]\nmodel = "flat"\nusd_per_image = "0.0400005"\n[[prices]]\nmodel = "bounded"\nceiling_usd = 1\n'
OPENAI = {"PIXYPROXY_GENERATOR": "openai", "OPENAI_API_KEY": "sk-test"}


@pytest.fixture
async def paid(tmp_path: Path) -> AsyncIterator[HttpApp]:
    """Yield an application that prices what OpenAI makes, with prices of the operator."""
    path = tmp_path / "prices.toml"
    path.write_text(FLAT)
    async with http_app(**OPENAI, PIXYPROXY_PRICES=path) as app:
        yield app


async def price(app: HttpApp, auth: tuple[str, str] | None = None, **body: object) -> Any:
    response = await app.client.post("/price", json={"prompt": "a duck"} | body, auth=auth)
    assert response.status_code == 200, response.text
    return response.json()


async def test_the_sketch_is_free_whatever_the_model() -> None:
    async with http_app() as app:
        free = {"usd_max": "0.000000", "usd_typical": "0.000000", "state": "priced", "source": "sketch", "budgets": []}
        assert await price(app, model="gpt-image-2", n=10) == free


async def test_a_price_is_decimal_text_and_nothing_is_made(paid: HttpApp) -> None:
    found = await price(paid, size="3840x2160", quality="high")
    assert found["usd_max"] == "0.400610"  # 13,342 * 30 + 70 * 5 micro-dollars
    assert found["source"].startswith("genai-prices ")
    assert (found["state"], found["budgets"]) == ("priced", [])
    assert (await price(paid, model="flat", n=3))["usd_max"] == "0.120002"  # rounded up
    assert (await price(paid, model="bounded"))["state"] == "estimated"
    assert paid.generator.requests == []
    assert (await paid.client.get("/image")).json() == []


async def test_an_unknown_model_is_unpriced_and_not_free(paid: HttpApp) -> None:
    assert await price(paid, model="dall-e-9") == {
        "usd_max": None,
        "usd_typical": None,
        "state": "unpriced",
        "source": None,
        "budgets": [],
    }


async def test_a_stored_source_raises_the_price(paid: HttpApp) -> None:
    guid = (await paid.create())["guid"]
    without, with_source = [await price(paid, **body) for body in ({}, {"edit_of": [guid]})]
    assert float(with_source["usd_max"]) > float(without["usd_max"])


async def test_files_that_will_be_sent_raise_the_price_by_their_sizes(paid: HttpApp) -> None:
    sizes = ([], ["512x512"], ["512x512"] * 17, ["3000x2000"])
    prices = [float((await price(paid, **({"edit_sizes": given} if given else {})))["usd_max"]) for given in sizes]
    assert prices[0] < prices[1] < prices[2]
    assert prices[1] < prices[3]
    paid.generator.edits = False
    response = await paid.client.post("/price", json={"prompt": "x", "edit_sizes": ["1x1"]})
    assert (response.status_code, response.json()["code"]) == (400, "editing-unsupported")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"prompt": " "}, 422),
        ({"prompt": "x", "n": 0}, 422),
        ({"prompt": "x", "n": 11}, 422),
        ({"prompt": "x", "colour": "red"}, 422),
        ({"prompt": "x", "visibility": "private"}, 422),
        ({"prompt": "x", "edit_of": ["x"]}, 422),
        ({"prompt": "x", "edit_sizes": []}, 422),
        ({"prompt": "x", "edit_sizes": ["1x1"] * 18}, 422),
        ({"prompt": "x", "edit_sizes": ["0x1"]}, 422),
        ({"prompt": "x", "edit_sizes": "1x1"}, 422),
        ({"prompt": "x", "edit_of": ["00000000-0000-4000-8000-000000000000"]}, 404),
        ([], 422),
    ],
)
async def test_it_refuses_what_a_picture_is_refused_for(paid: HttpApp, body: Any, status: int) -> None:
    priced = await paid.client.post("/price", json=body)
    assert priced.status_code == status
    if "n" not in body and "edit_sizes" not in body:
        made = await paid.client.post("/image", json=body)
        assert made.status_code == status
        assert made.json()["detail"] == priced.json()["detail"]


async def test_a_private_source_of_another_user_does_not_exist(paid: HttpApp) -> None:
    guid = (await paid.create(visibility="private"))["guid"]
    for auth, status in ((ALICE, 200), (BOB, 404), (None, 404)):
        response = await paid.client.post("/price", json={"prompt": "x", "edit_of": guid}, auth=auth)
        assert response.status_code == status


async def test_an_edit_that_the_generator_cannot_make_has_no_price(paid: HttpApp) -> None:
    guid = (await paid.create())["guid"]
    paid.generator.edits = False
    for path in ("/price", "/image"):
        response = await paid.client.post(path, json={"prompt": "x", "edit_of": guid})
        assert (response.status_code, response.json()["code"]) == (400, "editing-unsupported")


@pytest.mark.parametrize(("anonymous", "status"), [("none", 401), ("read", 200), ("write", 200)])
async def test_readers_may_ask(anonymous: str, status: int) -> None:
    async with http_app(PIXYPROXY_ANONYMOUS=anonymous) as app:
        assert (await app.client.post("/price", json={"prompt": "x"})).status_code == status


async def test_the_body_must_be_json() -> None:
    async with http_app() as app:
        assert (await app.client.post("/price", content=b"{}")).status_code == 415
        assert (
            await app.client.post("/price", content=b"{", headers={"content-type": "application/json"})
        ).status_code == 400


async def test_the_highest_price_is_learned_from_own_usage(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text('[[prices]]\nmodel = "reports"\nreported = true\n')
    async with http_app(**OPENAI, PIXYPROXY_PRICES=path) as app:
        assert (await price(app, model="reports"))["state"] == "unpriced"
        app.generator.outcome = GeneratedImage(PNG, model="reports", usage={"cost": 0.07})
        made = await app.create(model="reports", size="1024x1024")
        assert (made["cost"]["usd"], made["cost"]["source"]) == ("0.070000", "upstream")
        app.container.clock().advance(timedelta(minutes=1))
        learned = await price(app, model="reports", size="1024x1024", n=2)
        assert (learned["usd_max"], learned["state"], learned["source"]) == ("0.140000", "estimated", "own usage")
        assert (await price(app, model="reports", size="2048x2048"))["state"] == "unpriced"
        # Now a cap can be reserved in.
        await app.container.budget_service().set("user:alice", "0.10", Per.TOTAL)
        body = {"prompt": "a duck", "model": "reports", "size": "1024x1024"}
        statuses = [(await app.client.post("/image", json=body, auth=ALICE)).status_code for _ in range(2)]
        assert statuses == [402, 402]
        await app.container.budget_service().set("user:alice", "0.14", Per.TOTAL)
        statuses = [(await app.client.post("/image", json=body, auth=ALICE)).status_code for _ in range(2)]
        assert statuses == [200, 402]
