"""A gallery of 10,000 pictures in a real browser: memory stays level, and the way back is there."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Open
from tests.fixtures.scrolling import prepare, scroll_to_end
from tests.fixtures.service import Service
from tests.fixtures.sql.many_images import fill_sqlite, rows

IMAGES = 11_700
"""Some are private or failed; 10,000 are for everybody."""
SECTION = 50


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("large")) as service:
        fill_sqlite(service.folder / "data" / "pixyproxy.sqlite3", rows(1, IMAGES))
        yield service


@pytest.mark.slow
def test_memory_stays_level_over_10000_pictures(large: Service, open_page: Open) -> None:
    page = open_page("/login", at=large.url)
    session = prepare(page)
    session.send("Network.enable")
    session.send("Network.setBlockedURLs", {"urls": ["*/thumbnail*"]})  # there are no bytes of these pictures
    page.goto("/")
    newest = page.locator("#results .tile").first.get_attribute("data-guid")
    scrolled = scroll_to_end(page, session, 40)
    assert scrolled.samples[-1][0] * SECTION >= 10_000
    _, nodes, memory = scrolled.samples[0]
    for _, nodes_now, memory_now in scrolled.samples[1:]:
        assert nodes_now < 1.3 * nodes
        assert memory_now < 1.5 * memory
    assert [task for task in scrolled.long_tasks if task > 500] == []
    # What was emptied is there again, at the same place.
    height = page.evaluate("document.documentElement.scrollHeight")
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight / 2)")
    middle = page.locator("#results .page").nth(scrolled.samples[-1][0] // 2)
    expect(middle.locator(".tile")).to_have_count(SECTION)
    page.evaluate("scrollTo(0, 0)")
    expect(page.locator("#results .tile").first).to_have_attribute("data-guid", newest or "")
    expect(page.locator("#results .page").first.locator(".tile")).to_have_count(SECTION)
    assert abs(page.evaluate("document.documentElement.scrollHeight") - height) < 0.05 * height
