"""A gallery of 10,000 pictures in a real browser: memory stays level, and the way back is there."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open, wait_until
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
    block_thumbnails(page)
    page.goto("/")
    newest = page.locator("#results .tile").first.get_attribute("data-guid")
    scrolled = scroll_to_end(page, session, 40)
    assert scrolled.samples[-1][0] * SECTION >= 10_000
    _, nodes, memory = scrolled.samples[0]
    for _, nodes_now, memory_now in scrolled.samples[1:]:
        assert nodes_now < 1.3 * nodes
        assert memory_now < 1.5 * memory
    # What was emptied is there again, at the same place.
    height = page.evaluate("document.documentElement.scrollHeight")
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight / 2)")
    middle = page.locator("#results .page").nth(scrolled.samples[-1][0] // 2)
    expect(middle.locator(".tile")).to_have_count(SECTION)
    page.evaluate("scrollTo(0, 0)")
    expect(page.locator("#results .tile").first).to_have_attribute("data-guid", newest or "")
    expect(page.locator("#results .page").first.locator(".tile")).to_have_count(SECTION)
    assert abs(page.evaluate("document.documentElement.scrollHeight") - height) < 0.05 * height


@pytest.mark.slow
def test_the_arrows_go_on_through_emptied_sections_and_past_what_is_loaded(large: Service, open_page: Open) -> None:
    limit, sections = 4, 45
    with large.client() as client:
        guids = [image["guid"] for image in client.get("/image", params={"limit": 200}).json()]
    page = open_page("/login", at=large.url, viewport={"width": 400, "height": 300})
    block_thumbnails(page)
    page.goto(f"/?limit={limit}")
    shown = page.locator("#results .page")
    for number in range(2, sections + 1):
        page.locator("#next").evaluate("link => link.click()")
        expect(shown).to_have_count(number)
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    # Back from another page, to a place that is far down.
    page.goto("/docs")
    page.go_back()
    expect(shown).to_have_count(sections)
    wait_until(page, "document.querySelectorAll('#results .page:empty').length > 3")
    emptied = page.evaluate("[...document.querySelectorAll('#results .page')].findIndex((one) => !one.children.length)")
    assert emptied > 0
    # From the last picture before an emptied section through three of them, and back to where it began.
    start = limit * emptied - 1
    open_tile(page, guids[start])
    for place, key in [(start + n, "ArrowRight") for n in range(10)] + [
        (start + 10 - n, "ArrowLeft") for n in range(12)
    ]:
        expect(page.locator("dialog .view")).to_have_attribute("data-guid", guids[place])
        page.keyboard.press(key)
    expect(page.locator("dialog .view")).to_have_attribute("data-guid", guids[start - 2])
    page.keyboard.press("Escape")
    expect(page.locator(f".tile[data-guid='{guids[start - 2]}'] a")).to_be_focused()
    # From the last that is loaded into pages that are not, and quickly.
    open_tile(page, guids[limit * sections - 1])
    for _ in range(limit + 2):
        page.keyboard.press("ArrowRight")
    expect(page.locator("dialog .view")).to_have_attribute("data-guid", guids[limit * sections + limit + 1])
    page.get_by_label("Newer picture").click()
    expect(page.locator("dialog .view")).to_have_attribute("data-guid", guids[limit * sections + limit])


def block_thumbnails(page: Page) -> None:
    """Have no thumbnails requested: there are no bytes of these pictures."""
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.setBlockedURLs", {"urls": ["*/thumbnail*"]})


def open_tile(page: Page, guid: str) -> None:
    """Open a picture where it is, without scrolling to it."""
    page.locator(f".tile[data-guid='{guid}'] a").evaluate("link => link.click()")
