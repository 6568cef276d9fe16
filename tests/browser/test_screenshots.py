"""Screenshots of every page in both themes and three widths, for people to look at."""

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Route, expect

from tests.browser.conftest import Gallery, Open, running_gallery
from tests.browser.test_editing import pick
from tests.fixtures.openai.gateway import Gateway
from tests.fixtures.service import pixyproxy
from tests.fixtures.services import ALICE

WIDTHS = (390, 1280, 2560)
EMMA, TINA, ROOT = ("emma", "a good long password"), ("tina", "another good one"), ("root", "the password of root")
USERS = {"login": None, "class": TINA, "service": ROOT}
"""The user of a page, if not alice."""


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gallery]:
    """Yield a gallery of its own, without the pictures of other tests."""
    with running_gallery(tmp_path_factory.mktemp("pictured")) as found:
        yield found


@pytest.fixture(scope="module")
def staff(gallery: Gallery) -> None:
    """Add a class with its teacher and a picture, and an administrator."""
    gallery.service.add_user(*EMMA, class_key="9a")
    gallery.create(EMMA, prompt="a lighthouse in a storm")
    gallery.service.add_user(*TINA, class_key="9a", role="teacher")
    gallery.service.add_user(*ROOT, role="admin")


@pytest.mark.slow
@pytest.mark.usefixtures("staff")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_pictured(gallery: Gallery, open_page: Open, screenshots: Path, scheme: str) -> None:
    edited = gallery.pictures[0]["guid"]
    pages = {
        "gallery": "/",
        "nothing": "/?prompt=zebra",
        "view": f"/view/{edited}",
        "error": "/nowhere",
        "login": "/login",
        "choose": f"/compare?a={edited}",
        "compare": f"/compare?a={edited}&b={gallery.pictures[4]['guid']}",
        "spending": "/spending",
        "keys": "/keys",
        "class": "/class",
        "service": "/class",
    }
    for width in WIDTHS:
        for name, path in pages.items():
            page = open_page(
                path,
                user=USERS.get(name, ALICE),
                viewport={"width": width, "height": 900},
                color_scheme=scheme,
            )
            page.wait_for_load_state("networkidle")
            target = screenshots / f"{name}-{scheme}-{width}.png"
            page.screenshot(path=target)
            assert target.stat().st_size > 0
            page.context.close()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_write_screenshots_of_an_edit(editor: Gateway, open_page: Open, screenshots: Path, scheme: str) -> None:
    files = [drawn(size) for size in ((1536, 1024), (1024, 1024), (1024, 1536))]
    for width in WIDTHS:
        page = open_page(
            user=ALICE, at=editor.service.url, viewport={"width": width, "height": 900}, color_scheme=scheme
        )
        pick(page, *files)
        page.get_by_label("Prompt").fill("the same at night")
        expect(page.locator("#price")).to_contain_text("$")
        page.screenshot(path=screenshots / f"sources-{scheme}-{width}.png")
        page.get_by_role("button", name="Paint a mask").click()
        box = page.locator(".masking canvas").bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.4)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.5, steps=5)
        page.mouse.up()
        page.screenshot(path=screenshots / f"mask-{scheme}-{width}.png")
        page.context.close()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pictures_that_are_made_are_pictured(gallery: Gallery, open_page: Open, screenshots: Path, scheme: str) -> None:
    settings = gallery.service.values
    assert pixyproxy(gallery.service.folder, "budget", "set", "user:alice", "10", **settings).returncode == 0
    page = open_page(user=ALICE, at=gallery.url, color_scheme=scheme)
    refusal = {"status": 422, "code": "prompt-rejected", "detail": "The generator does not draw living artists."}
    answers = iter([(422, refusal), (202, {"guid": "1" * 36}), (202, {"guid": "2" * 36})])
    states = {"1": {"status": "generating"}, "2": {"status": "queued", "queue": {"position": 4, "eta_s": 40}}}

    def respond(route: Route) -> None:
        status, body = (200, states[route.request.url[-1]]) if route.request.method == "GET" else next(answers)
        route.fulfill(status=status, content_type="application/json", body=json.dumps(body))

    page.route(re.compile("/image(/[12]+)?$"), respond)
    page.get_by_label("Early views").select_option("0", force=True)
    for number, prompt in enumerate(("in the style of …", "harbour with red boats", "a brass telescope, evening"), 1):
        page.get_by_label("Prompt").fill(prompt)
        page.get_by_role("button", name="Make", exact=True).click()
        expect(page.locator("#making .state b")).to_have_count(number)
    expect(page.locator("#making .queued b")).to_have_text("4th in line")
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_load_state("networkidle")
        page.screenshot(path=screenshots / f"making-{scheme}-{width}.png")


def drawn(size: tuple[int, int]) -> dict[str, Any]:
    """Return a file with something to see in it."""
    data = io.BytesIO()
    Image.radial_gradient("L").resize(size).convert("RGB").save(data, "PNG")
    return {"name": f"{size[0]}.png", "mimeType": "image/png", "buffer": data.getvalue()}
