"""`POST /image/{guid}/settlement`: an administrator's word on what was billed."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pixyproxy.domain.errors import GeneratorTimeoutError
from tests.fixtures.http_app import ALICE, BOB, MISSING, HttpApp, http_app, log_lines

EVE = ("eve", "secret of five")
PRICES = '[[prices]]\nmodel = "*"\nusd_per_image = "0.04"\n'
OPENAI = {"PIXYPROXY_GENERATOR": "openai", "OPENAI_API_KEY": "sk-test"}


@pytest.fixture
async def paid(tmp_path: Path) -> AsyncIterator[HttpApp]:
    """Yield an application where a picture costs 4 cents, with an administrator."""
    path = tmp_path / "prices.toml"
    path.write_text(PRICES)
    async with http_app(**OPENAI, PIXYPROXY_PRICES=path) as app:
        await app.container.user_service().add(*EVE, role="admin")
        yield app


async def unknown(app: HttpApp, **fields: object) -> str:
    """Return the GUID of a private image of alice that may have been billed."""
    outcome, app.generator.outcome = app.generator.outcome, GeneratorTimeoutError("No answer in time.")
    response = await app.client.post("/image", json={"prompt": "a duck", "visibility": "private"} | fields, auth=ALICE)
    app.generator.outcome = outcome
    guid: str = response.json()["guid"]
    return guid


async def settle(app: HttpApp, guid: str, usd: object, auth: tuple[str, str] | None = EVE) -> Any:
    return await app.client.post(f"/image/{guid}/settlement", json={"billed_usd": usd}, auth=auth)


@pytest.mark.parametrize(("usd", "status"), [("0.05", "unknown"), ("0", "failed"), ("0.00", "failed")])
async def test_an_unknown_image_is_settled(usd: str, status: str, paid: HttpApp) -> None:
    guid = await unknown(paid)
    with log_lines() as lines:
        response = await settle(paid, guid.upper(), usd)
    assert response.status_code == 200, response.text
    assert [line for line in lines if line.endswith(f"eve settled image {guid}: {float(usd):.6f} USD")]
    body = response.json()
    assert (body.pop("cost")["state"], body) == ("settled", {"guid": guid, "status": status})
    detail = (await paid.client.get(f"/image/{guid}", auth=ALICE)).json()
    assert (detail["status"], detail["cost"]["state"]) == (status, "settled")
    # The picture of another stays private.
    assert (await paid.client.get(f"/image/{guid}", auth=EVE)).status_code == 404
    (row,) = (await paid.client.get("/usage", auth=ALICE)).json()
    assert (row["usd"], row["possibly"]) == (f"{float(usd):.6f}", "0.000000")


async def test_the_charge_of_a_deleted_image_is_settled(paid: HttpApp) -> None:
    guid = await unknown(paid)
    assert (await paid.client.delete(f"/image/{guid}", auth=ALICE)).status_code == 204
    response = await settle(paid, guid, "0.04")
    assert (response.status_code, response.json()) == (200, {"guid": guid, "status": None, "cost": None})
    assert (await settle(paid, guid, "0.04")).status_code == 404


async def test_only_an_administrator_settles(paid: HttpApp) -> None:
    guid = await unknown(paid)
    await paid.container.user_service().add("carol", "secret of three", "cs101", role="teacher")
    for auth, status in ((None, 401), (ALICE, 403), (BOB, 403), (("carol", "secret of three"), 403)):
        assert (await settle(paid, guid, "0", auth)).status_code == status
        assert (await settle(paid, MISSING, "0", auth)).status_code == status
    assert (await paid.client.get(f"/image/{guid}", auth=ALICE)).json()["cost"]["state"] == "possibly-billed"


async def test_only_an_unknown_image_is_settled(paid: HttpApp) -> None:
    response = await settle(paid, (await paid.create())["guid"], "0")
    assert (response.status_code, response.json()["code"]) == (409, "conflict")
    assert (await settle(paid, MISSING, "0")).status_code == 404
    assert (await settle(paid, "duck", "0")).status_code == 404


@pytest.mark.parametrize("usd", ["-1", "ten", "", "NaN", "1000001", "0.0000001", "9" * 40, 0.05, 0, None, ["0"]])
async def test_a_wrong_amount_says_what_is_right(usd: object, paid: HttpApp) -> None:
    guid = await unknown(paid)
    response = await settle(paid, guid, usd)
    assert (response.status_code, response.json()["errors"][0]["loc"]) == (422, ["billed_usd"])
    assert (await paid.client.get(f"/image/{guid}", auth=ALICE)).json()["cost"]["state"] == "possibly-billed"


async def test_the_body_has_nothing_else(paid: HttpApp) -> None:
    path = f"/image/{await unknown(paid)}/settlement"
    for body in ({}, {"billed_usd": "0", "note": "x"}, []):
        assert (await paid.client.post(path, json=body, auth=EVE)).status_code == 422
