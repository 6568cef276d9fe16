"""The documentation page in a real browser that can reach this host only."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.browser import Browser, shown_page
from tests.fixtures.requirements import missing
from tests.fixtures.service import Service
from tests.fixtures.services import ALICE

OPERATIONS = [
    ("get", "/image"),
    ("post", "/image"),
    ("get", "/image/{guid}"),
    ("patch", "/image/{guid}"),
    ("delete", "/image/{guid}"),
    ("get", "/image/{guid}/content"),
    ("get", "/image/{guid}/content/{name}"),
    ("get", "/image/{guid}/thumbnail"),
    ("post", "/price"),
    ("get", "/budget"),
    ("get", "/usage"),
    ("post", "/image/{guid}/settlement"),
    ("put", "/budget/{scope}"),
    ("delete", "/budget/{scope}"),
    ("get", "/user"),
    ("post", "/user"),
    ("post", "/user/import"),
    ("patch", "/user/{name}"),
    ("delete", "/user/{name}"),
    ("get", "/key"),
    ("post", "/key"),
    ("delete", "/key/{key_id}"),
    ("post", "/session"),
    ("get", "/session"),
    ("delete", "/session"),
    ("get", "/user/me"),
    ("get", "/healthz"),
    ("get", "/readyz"),
    ("get", "/metrics"),
    ("post", "/v1/images/generations"),
    ("post", "/v1/images/edits"),
    ("get", "/v1/models"),
    ("get", "/v1/models/{model}"),
]


@pytest.fixture(scope="module")
def browser() -> str:
    found = shutil.which("chromium")
    if found is None:
        missing("BROWSER", "no browser is installed here (chromium)")
    return found


@pytest.fixture(scope="module")
def docs_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("docs")) as running:
        running.add_user(*ALICE)
        yield running


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/docs", "/docs/"])
def test_a_browser_shows_every_operation(path: str, browser: str, docs_service: Service, tmp_path: Path) -> None:
    shown, requested = shown_page(browser, docs_service.url + path, tmp_path)
    found = re.findall(r'class="opblock-summary-path"[^>]*data-path="([^"]+)"', shown)
    assert sorted(found) == sorted(path for _, path in OPERATIONS)
    for method, _ in OPERATIONS:
        assert f"opblock-{method}" in shown
    assert "The image gateway for pictures that cost money." in shown
    assert "Authorize" in shown
    assert "Unable to render" not in shown
    assert f"{docs_service.url}/openapi.json" in requested
    assert {url for url in requested if not url.startswith(f"{docs_service.url}/")} == set()


def test_every_file_of_the_page_comes_from_this_host(docs_service: Service) -> None:
    with docs_service.client() as client:
        for path in ("/docs", "/docs/"):
            html = client.get(path).text
            needed = re.findall(r'(?:src|href)="([^"]+)"', html)
            assert len(needed) >= 3
            for address in needed:
                assert address.startswith("/docs/assets/")
                assert client.get(address).status_code == 200
            assert "'/openapi.json'" in html
        response = client.get("/", headers={"Accept": "application/json"})
        assert (response.status_code, response.headers["location"]) == (307, "/docs")


# Opens an operation, clicks "Try it out", fills in what is given by parameter, and clicks "Execute". Returns the texts
# that were filled in before, and the status and body of the response; no status if the page asks for more first.
TRY_IT_OUT = """
(async (id, given) => {
  const until = async (find) => {
    for (let tries = 0; tries < 200; tries++) {
      const found = find();
      if (found) return found;
      await new Promise(resolve => setTimeout(resolve, 50));
    }
  };
  const block = await until(() => document.querySelector(`[id$="-${id}"].opblock`));
  block.querySelector(".opblock-summary-control").click();
  (await until(() => block.querySelector(".try-out__btn"))).click();
  const execute = await until(() => block.querySelector(".btn.execute"));
  const filled = {};
  for (const row of block.querySelectorAll("tr[data-param-name]")) {
    const input = row.querySelector("input, select, textarea");
    const name = row.dataset.paramName;
    if (!input) continue;
    if (input.value && input.value !== "--") filled[name] = input.value;
    if (name in given) {
      const setter = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(input), "value").set;
      setter.call(input, given[name]);
      input.dispatchEvent(new Event("input", {bubbles: true}));
      input.dispatchEvent(new Event("change", {bubbles: true}));
      await new Promise(resolve => setTimeout(resolve, 400));
    }
  }
  const body = block.querySelector(".body-param__text, textarea");
  if (body) filled.body = body.value;
  execute.click();
  const response = ".live-responses-table tr.response";
  const done = await until(() => block.querySelector(`${response} .response-col_status, .invalid`));
  if (!done || done.matches(".invalid")) return {filled};
  const text = block.querySelector(`${response} .response-col_description pre`);
  return {filled, status: parseInt(done.textContent), text: text ? text.textContent : ""};
})(%s, %s)
"""


@pytest.fixture(scope="module")
def docs_browser(browser: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(browser, tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.mark.slow
def test_the_first_click_does_something_sensible(docs_browser: Browser, docs_service: Service) -> None:
    docs_browser.open(f"{docs_service.url}/docs")

    def try_it_out(operation: str, **given: str) -> dict[str, Any]:
        outcome: dict[str, Any] = docs_browser.run(TRY_IT_OUT % (json.dumps(operation), json.dumps(given)))
        return outcome

    made = try_it_out("create_image")
    assert json.loads(made["filled"].pop("body")) == {"prompt": "a rubber duck on a sink"}
    assert (made["filled"], made["status"]) == ({}, 200)
    image = json.loads(made["text"])
    assert (image["status"], image["prompt"]) == ("ready", "a rubber duck on a sink")
    assert "status" not in try_it_out("get_image")  # the page asks for a GUID
    for operation, given, filled, status in (
        ("list_images", (), {"limit": "50", "status": "ready"}, 200),
        ("get_named_content", ("guid", "name"), {}, 200),
        ("get_thumbnail", ("guid",), {"size": "256"}, 200),
        ("generate_images", (), {}, 200),
        ("edit_images", (), {}, 400),  # the generator of sketches cannot edit
    ):
        values = {"guid": image["guid"], "name": "a duck.png"}
        tried = try_it_out(operation, **{name: values[name] for name in given})
        tried["filled"].pop("body", None)
        assert (tried["filled"], tried.get("status")) == (filled, status), (operation, tried)
    assert "cannot edit images" in tried["text"]
