"""The gallery in a real browser: search, filters, pages, the dialog, and what a stranger sees."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Gallery, Open, log_in, running_gallery, wait_until
from tests.browser.test_access import violations
from tests.fixtures.services import ALICE, BOB


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gallery]:
    """Yield a gallery of its own: these tests count pictures."""
    with running_gallery(tmp_path_factory.mktemp("counted")) as found:
        yield found


def tiles(page: Page) -> list[str]:
    return [tile.get_attribute("data-guid") or "" for tile in page.locator("#results .tile").all()]


def test_it_shows_the_newest_first_and_moves_nothing(gallery: Gallery, open_page: Open) -> None:
    page = open_page()
    assert tiles(page) == [picture["guid"] for picture in gallery.visible(None)]
    first = page.locator("#results .tile").first
    before = first.bounding_box()
    page.wait_for_load_state("networkidle")
    assert first.bounding_box() == before
    assert page.evaluate("[...document.images].slice(0, 6).every(image => image.complete && image.naturalWidth > 0)")
    ratio = page.evaluate("(e => e.clientWidth / e.clientHeight)(document.querySelector('#results .tile'))")
    newest = gallery.visible(None)[0]
    assert ratio == pytest.approx(newest["width"] / newest["height"], rel=0.05)
    assert first.get_by_role("img").last.get_attribute("alt") == newest["prompt"]


@pytest.mark.slow
def test_nothing_comes_from_elsewhere(gallery: Gallery, open_page: Open) -> None:
    page = open_page("/login")
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.goto("/")
    page.locator(".tile a").first.click()
    expect(page.locator("dialog .view")).to_be_visible()
    elsewhere = [url for url in requested if not url.startswith((gallery.url, "data:"))]
    assert elsewhere == []
    assert len(requested) > 10


def test_search_while_typing(gallery: Gallery, open_page: Open) -> None:
    page = open_page()
    count = len(gallery.visible(None, "lighthouse"))
    page.get_by_role("searchbox").press_sequentially("ligh win")
    expect(page.locator("#results .tile")).to_have_count(count)
    expect(page).to_have_url(re.compile(r"\?prompt=ligh\+win$"))
    expect(page.get_by_role("searchbox")).to_be_focused()
    expect(page.locator("#status")).to_have_text(f"{count} pictures")
    page.reload()
    expect(page.get_by_role("searchbox")).to_have_value("ligh win")
    expect(page.locator("#results .tile")).to_have_count(count)
    page.get_by_role("searchbox").fill("zebra")
    expect(page.get_by_role("heading", name="No picture matches")).to_be_visible()
    page.get_by_role("searchbox").fill(" ".join(map(str, range(65))))
    expect(page.get_by_role("heading", name="This search cannot be done")).to_be_visible()
    page.get_by_role("searchbox").fill("")
    expect(page.locator("#results .tile")).to_have_count(len(gallery.visible(None)))
    expect(page).to_have_url(re.compile(r"/$"))


@pytest.mark.slow
def test_filters_are_combined_and_taken_away(gallery: Gallery, open_page: Open) -> None:
    page = open_page(user=ALICE)
    page.get_by_role("link", name="Mine", exact=True).click()
    expect(page.get_by_role("link", name="Mine", exact=True)).to_have_attribute("aria-current", "true")
    page.get_by_role("link", name="#city").click()
    page.get_by_role("searchbox").press_sequentially("fox")
    expect(page).to_have_url(re.compile(r"mine=1&tag=city$|mine=1.*tag=city"))
    found = [picture for picture in gallery.visible(ALICE, "fox") if picture["author"] == "alice"]
    expect(page.locator("#results .tile")).to_have_count(len(found))
    page.get_by_role("link", name="#city").first.click()
    expect(page.get_by_role("link", name="#city")).not_to_have_attribute("aria-current", "true")
    page.get_by_role("searchbox").fill("")
    expect(page).not_to_have_url(re.compile("prompt="))
    page.get_by_role("link", name="Private", exact=True).click()
    expect(page.locator("#results .badge").first).to_have_text("only you")


@pytest.mark.slow
def test_older_pictures_come_below_and_back_returns_to_the_place(gallery: Gallery, open_page: Open) -> None:
    page = open_page("/?limit=10", user=ALICE)
    expect(page.locator("#results .tile")).to_have_count(10)
    page.get_by_role("link", name="Older pictures").click()
    shown = [picture["guid"] for picture in gallery.visible(ALICE)]
    expect(page.locator("#results .tile")).to_have_count(len(shown))
    assert tiles(page) == shown
    expect(page.get_by_role("link", name="Older pictures")).to_have_count(0)
    last = page.locator("#results .tile").last
    last.scroll_into_view_if_needed()
    place = page.evaluate("scrollY")
    assert place > 0
    page.goto("/docs")
    page.go_back()
    expect(page.locator("#results .tile")).to_have_count(len(shown))
    wait_until(page, f"Math.abs(scrollY - {place}) < 50")


@pytest.mark.slow
def test_endless_scrolling_is_a_choice(gallery: Gallery, open_page: Open) -> None:
    page = open_page("/?limit=10", user=ALICE)
    expect(page.locator("#results .tile")).to_have_count(10)
    page.get_by_label("Show older pictures while scrolling").check()
    expect(page.locator("#results .tile")).to_have_count(len(gallery.visible(ALICE)))
    page.reload()
    page.locator("#endless").scroll_into_view_if_needed()
    expect(page.locator("#results .tile")).to_have_count(len(gallery.visible(ALICE)))


@pytest.mark.slow
def test_the_dialog_by_mouse(gallery: Gallery, open_page: Open) -> None:
    page = open_page(user=ALICE)
    newest, second = gallery.pictures[-1], gallery.pictures[-2]
    page.locator(".tile a").first.click()
    view = page.locator("dialog .view")
    expect(view.get_by_role("heading", level=1)).to_have_text(newest["prompt"])
    expect(page).to_have_url(re.compile(f"/view/{newest['guid']}$"))
    expect(view.get_by_label("Newer picture")).to_be_hidden()
    view.get_by_label("Older picture").click()
    expect(view.get_by_role("heading", level=1)).to_have_text(second["prompt"])
    view.get_by_label("Newer picture").click()
    expect(view.get_by_role("heading", level=1)).to_have_text(newest["prompt"])
    view.get_by_label("Back to the pictures").click()
    expect(page.locator("dialog")).to_be_hidden()
    expect(page).to_have_url(re.compile(r"/$"))
    expect(page.locator(".tile a").first).to_be_focused()


def test_the_dialog_by_keyboard_goes_on_past_what_is_loaded(gallery: Gallery, open_page: Open) -> None:
    page = open_page("/?limit=10", user=ALICE)
    page.locator("#results .tile a").nth(8).focus()
    page.keyboard.press("Enter")
    title = page.locator("dialog .view h1")
    shown = [picture["prompt"] for picture in gallery.visible(ALICE)]
    for index in (9, 10, 11):
        expect(title).to_have_text(shown[index - 1])
        page.keyboard.press("ArrowRight")
        expect(title).to_have_text(shown[index])
    page.keyboard.press("ArrowLeft")
    expect(title).to_have_text(shown[10])
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_be_hidden()
    page.go_forward()
    expect(title).to_have_text(shown[10])
    page.go_back()
    expect(page.locator("dialog")).to_be_hidden()


@pytest.mark.slow
def test_newer_pictures_than_those_of_the_page_are_stepped_to(gallery: Gallery, open_page: Open) -> None:
    page = open_page("/?limit=5", user=ALICE)
    page.goto(page.locator("#next").get_attribute("href") or "")
    shown = [picture["prompt"] for picture in gallery.visible(ALICE)]
    page.locator("#results .tile a").first.click()
    title = page.locator("dialog .view h1")
    expect(title).to_have_text(shown[5])
    for index in (4, 3):
        page.keyboard.press("ArrowLeft")
        expect(title).to_have_text(shown[index])
    for index in (4, 5, 6):
        page.keyboard.press("ArrowRight")
        expect(title).to_have_text(shown[index])
    page.keyboard.press("Escape")
    expect(page.locator("#results .tile a").nth(1)).to_be_focused()
    # The same on the page of a picture, with a search, and without a script.
    lighthouses = gallery.visible(None, "lighthouse")
    alone = open_page(f"/view/{lighthouses[1]['guid']}?prompt=lighthouse", java_script_enabled=False)
    alone.get_by_label("Newer picture").click()
    expect(alone.get_by_role("heading", level=1)).to_have_text(lighthouses[0]["prompt"])
    expect(alone.get_by_label("Newer picture")).to_be_hidden()


def test_a_private_picture_is_in_no_page_of_a_stranger(gallery: Gallery, open_page: Open) -> None:
    secret = gallery.create(prompt="a hidden treasure", visibility="private")
    for user in (None, BOB):
        page = open_page("/?prompt=treasure", user=user)
        assert secret["guid"] not in page.content()
        response = page.goto(f"/view/{secret['guid']}")
        assert response is not None
        assert response.status == 404
        assert "treasure" not in page.content()
    page = open_page("/?prompt=treasure", user=ALICE)
    expect(page.locator("#results .tile")).to_have_count(1)
    response = page.goto(f"/view/{secret['guid']}")
    assert response is not None
    assert response.headers["cache-control"] == "private, no-store"
    assert "og:" not in page.content()


@pytest.mark.slow
def test_a_session_ended_elsewhere_shows_in_the_page(gallery: Gallery, open_page: Open) -> None:
    page = open_page(user=BOB)
    page.locator(".tile a").first.click()
    expect(page.locator("dialog .view")).to_be_visible()
    other = open_page(user=BOB)
    other.get_by_label("Account of bob").click()
    other.get_by_role("button", name="Log out").click()
    expect(other.get_by_role("link", name="Log in")).to_be_visible()
    # The session of the first browser is another one.
    page.reload()
    page.goto("/")
    expect(page.get_by_label("Account of bob")).to_be_visible()
    page.context.request.post("/logout", form={"unused": ""}, headers={"Origin": gallery.url})
    page.get_by_role("searchbox").fill("fox")
    expect(page.locator("#results .tile")).to_have_count(len(gallery.visible(None, "fox")))


@pytest.mark.slow
def test_without_a_script(gallery: Gallery, open_page: Open) -> None:
    page = open_page("/?limit=10", java_script_enabled=False)
    expect(page.locator(".tile")).to_have_count(10)
    page.get_by_role("link", name="Older pictures").click()
    expect(page.locator(".tile")).to_have_count(len(gallery.visible(None)) - 10)
    page.get_by_role("link", name="Newest pictures").click()
    page.goto("/")
    page.get_by_role("searchbox").fill("fox")
    page.keyboard.press("Enter")
    expect(page.locator(".tile")).to_have_count(len(gallery.visible(None, "fox")))
    page.locator(".tile a").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("fox in fresh snow")
    page.get_by_label("Older picture").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("fox in fresh snow")
    page.get_by_label("Back to the pictures").click()
    expect(page).to_have_url(re.compile(r"/\?prompt=fox$"))
    log_in(page, ALICE)
    page.get_by_label("Account of alice").click()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("link", name="Log in")).to_be_visible()


@pytest.mark.slow
def test_a_page_that_does_not_exist_leads_to_the_newest_pictures(gallery: Gallery, open_page: Open) -> None:
    page = open_page("/?prompt=fox&cursor=AAAA")
    expect(page.get_by_role("heading", name="There is no such page")).to_be_visible()
    assert violations(page) == []
    page.get_by_role("link", name="Newest pictures").click()
    expect(page).to_have_url(re.compile(r"/\?prompt=fox$"))
    expect(page.locator("#results .tile")).to_have_count(len(gallery.visible(None, "fox")))


@pytest.mark.slow
def test_the_network_is_lost_and_comes_back(gallery: Gallery, open_page: Open) -> None:
    page = open_page()
    page.wait_for_load_state("networkidle")
    page.context.set_offline(True)
    offline = page.get_by_text("You are offline. Pictures that are shown stay.")
    expect(offline).to_be_visible()
    page.locator(".tile a").last.click()
    expect(page.get_by_text("You are offline.", exact=True)).to_be_visible()
    page.get_by_role("searchbox").fill("fox")
    expect(page.get_by_role("heading", name="Nothing can be shown now")).to_be_visible()
    page.context.set_offline(False)
    expect(page.locator("#results .tile")).to_have_count(len(gallery.visible(None, "fox")))
    expect(page.locator(".toast.problem")).to_have_count(0)


@pytest.mark.slow
def test_a_picture_that_was_deleted_elsewhere_says_so(gallery: Gallery, open_page: Open) -> None:
    gone = gallery.create(prompt="a snowman in spring")
    page = open_page("/?prompt=snowman", user=ALICE)
    with gallery.service.client(ALICE) as client:
        assert client.delete(f"/image/{gone['guid']}").status_code == 204
    page.locator(".tile a").first.click()
    expect(page.locator(".toast.problem")).to_contain_text("It is not there any more.")
    expect(page.get_by_role("dialog")).to_have_count(0)


@pytest.mark.slow
def test_the_gallery_does_not_shine_through_while_one_steps(gallery: Gallery, open_page: Open) -> None:
    page = open_page()
    page.locator(".tile a").first.click()
    expect(page.locator("dialog h1")).to_be_visible()
    held: list[Route] = []
    page.route("**/view/*", lambda route: held.append(route))
    page.keyboard.press("ArrowRight")
    expect(page.locator("dialog > .view")).to_have_css("opacity", "0.55")
    expect(page.locator("dialog")).to_have_css("opacity", "1")
    for route in held:
        route.continue_()
    expect(page.locator("dialog > .view")).to_have_css("opacity", "1")


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280])
def test_a_picture_is_seen_before_its_page_has_come(gallery: Gallery, open_page: Open, width: int) -> None:
    page = open_page(viewport={"width": width, "height": 800})
    held: list[Route] = []
    page.route("**/view/*", lambda route: held.append(route))
    page.locator(".tile a").first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator("img")).to_be_visible()
    where = dialog.locator("img").bounding_box()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    dialog.get_by_role("button", name="Back to the pictures").click()
    expect(dialog).to_have_count(0)
    page.locator(".tile a").first.click()
    expect(dialog.get_by_role("button", name="Back to the pictures")).to_be_focused()
    for route in held[1:]:
        route.continue_()
    expect(dialog.locator("h1")).to_be_visible()
    expect(dialog.get_by_role("link", name="Back to the pictures")).to_be_focused()
    # Nothing jumps.
    assert dialog.locator(".whole").bounding_box() == where
