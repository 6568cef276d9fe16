"""The documentation page in a real browser that can reach this host only."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.requirements import missing
from tests.fixtures.service import Service
from tests.fixtures.services import ALICE

TIMEOUT_S = 120
OPERATIONS = [
    ("get", "/image"),
    ("post", "/image"),
    ("get", "/image/{guid}"),
    ("patch", "/image/{guid}"),
    ("delete", "/image/{guid}"),
    ("get", "/image/{guid}/content"),
    ("get", "/image/{guid}/thumbnail"),
    ("get", "/user/me"),
    ("get", "/healthz"),
    ("get", "/readyz"),
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


def page(browser: str, url: str, folder: Path) -> tuple[str, set[str]]:
    """Return the page after its scripts have run, and the addresses that it requested."""
    record = folder / "network.json"
    done = subprocess.run(
        [
            browser,
            "--headless",
            *(["--no-sandbox"] if os.geteuid() == 0 else []),
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--no-pings",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-default-apps",
            "--disable-extensions",
            "--disable-sync",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            f"--user-data-dir={folder / 'profile'}",
            f"--log-net-log={record}",
            "--virtual-time-budget=20000",
            "--dump-dom",
            url,
        ],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=True,
    )
    events = json.loads(record.read_text(encoding="utf-8"))["events"]
    requested = [event["params"] for event in events if {"url", "initiator"} <= set(event.get("params") or {})]
    # Requests without an initiator are the address itself and the browser's own traffic.
    return done.stdout, {request["url"] for request in requested if request["initiator"] != "not an origin"}


@pytest.mark.parametrize("path", ["/docs", "/docs/", "/"])
def test_a_browser_shows_every_operation(path: str, browser: str, docs_service: Service, tmp_path: Path) -> None:
    shown, requested = page(browser, docs_service.url + path, tmp_path)
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
        response = client.get("/")
        assert (response.status_code, response.headers["location"]) == (307, "/docs")
