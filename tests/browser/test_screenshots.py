"""Screenshots of every page in both themes and three widths, for people to look at."""

from pathlib import Path

import pytest

from tests.browser.conftest import Gallery, Open
from tests.fixtures.services import ALICE

WIDTHS = (390, 1280, 2560)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_pictured(gallery: Gallery, open_page: Open, screenshots: Path, scheme: str) -> None:
    edited = gallery.pictures[0]["guid"]
    pages = {
        "gallery": "/",
        "nothing": "/?prompt=zebra",
        "view": f"/view/{edited}",
        "error": "/nowhere",
        "login": "/login",
        "spending": "/spending",
        "keys": "/keys",
    }
    for width in WIDTHS:
        for name, path in pages.items():
            page = open_page(
                path,
                user=None if name == "login" else ALICE,
                viewport={"width": width, "height": 900},
                color_scheme=scheme,
            )
            page.wait_for_load_state("networkidle")
            target = screenshots / f"{name}-{scheme}-{width}.png"
            page.screenshot(path=target)
            assert target.stat().st_size > 0
            page.context.close()
