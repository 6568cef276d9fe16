"""Screenshots of every page in both themes and three widths, for people to look at."""

from pathlib import Path

import pytest

from tests.browser.conftest import Gallery, Open
from tests.fixtures.services import ALICE

WIDTHS = (390, 1280, 2560)
EMMA, TINA, ROOT = ("emma", "a good long password"), ("tina", "another good one"), ("root", "the password of root")
USERS = {"login": None, "class": TINA, "service": ROOT}
"""The user of a page, if not alice."""


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
