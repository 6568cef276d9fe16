"""Pictures that are opened by themselves in a real browser."""

import base64
import json
import shutil
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.fixtures.browser import shown_page
from tests.fixtures.requirements import missing
from tests.fixtures.service import Service

DRAWING = b"""<svg xmlns="http://www.w3.org/2000/svg" width="90" height="90"
onload="this.setAttribute('data-on', 'ran')">
<script>document.documentElement.setAttribute("data-script", "ran")</script>
<style>circle { fill: red }</style><circle r="40"/></svg>"""


class Pictures(BaseHTTPRequestHandler):
    """An upstream whose every picture is the drawing, which it also shows by itself."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        entry = {"b64_json": base64.b64encode(DRAWING).decode()}
        self._answer("application/json", json.dumps({"data": [entry]}).encode())

    def do_GET(self) -> None:
        self._answer("image/svg+xml", DRAWING)

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, media_type: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture(scope="module")
def browser() -> str:
    found = shutil.which("chromium")
    if found is None:
        missing("BROWSER", "no browser is installed here (chromium)")
    return found


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Pictures) as server:
        Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()


@pytest.mark.slow
def test_a_script_in_a_drawing_does_not_run(browser: str, upstream: str, tmp_path: Path) -> None:
    # Elsewhere it does.
    assert shown_page(browser, f"{upstream}/drawing", tmp_path)[0].count('="ran"') == 2
    values = {"PIXYPROXY_GENERATOR": "openai", "OPENAI_API_KEY": "sk-x", "PIXYPROXY_ANONYMOUS": "write"}
    with Service(tmp_path, OPENAI_BASE_URL=upstream, **values) as service:
        with service.client() as client:
            image = client.post("/image", json={"prompt": "a circle"}).json()
        assert image["media_type"] == "image/svg+xml"
        shown, _ = shown_page(browser, f"{service.url}{image['content_url']}", tmp_path)
    assert "<circle" in shown
    assert '="ran"' not in shown
