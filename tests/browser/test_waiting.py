"""Money and the queue in a real browser: prices and budgets before the click, and pictures that wait for their turn."""

import re
from collections.abc import Iterator
from threading import Event

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Open
from tests.browser.test_access import violations
from tests.fixtures.openai.gateway import Gateway
from tests.fixtures.openai.upstream import FakeUpstream
from tests.fixtures.service import Service, pixyproxy
from tests.fixtures.services import ALICE, BOB


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Yield a service that makes one picture at a time, and its upstream."""
    with FakeUpstream() as upstream:
        settings = {"PIXYPROXY_GENERATOR": "openai", "OPENAI_API_KEY": "sk-x", "OPENAI_BASE_URL": upstream.base_url}
        with Service(tmp_path_factory.mktemp("busy"), PIXYPROXY_MAX_GENERATIONS="1", **settings) as service:
            service.add_user(*ALICE)
            service.add_user(*BOB, class_key="9<b>a")
            yield Gateway(service, upstream, key="")


@pytest.fixture
def let_go(gateway: Gateway) -> Iterator[Event]:
    """Yield an event that ends the first picture, which holds up all others."""
    event = Event()
    gateway.hold(event.is_set, "held")
    yield event
    event.set()


def make(page: Page, prompt: str) -> None:
    page.get_by_label("Prompt").fill(prompt)
    page.get_by_role("button", name="Make", exact=True).click()


def choose(page: Page, shape: str, quality: str) -> None:
    page.locator(".options summary").click()
    page.get_by_label("Shape").select_option(shape)
    page.get_by_label("Quality").select_option(quality)
    page.keyboard.press("Escape")


def budget(gateway: Gateway, *arguments: str) -> None:
    ended = pixyproxy(gateway.service.folder, "budget", *arguments, **gateway.service.values)
    assert ended.returncode == 0, ended.stderr


def occupy(gateway: Gateway, page: Page) -> None:
    """Have a picture begun, which waits for the test to let go."""
    asked = len(gateway.upstream.generations)
    make(page, "a slow glacier")
    while len(gateway.upstream.generations) == asked:
        page.wait_for_timeout(20)


@pytest.mark.slow
def test_a_tile_shows_its_place_in_line(gateway: Gateway, open_page: Open, let_go: Event) -> None:
    page = open_page(user=ALICE, at=gateway.service.url)
    occupy(gateway, page)
    make(page, "a patient heron")
    tiles = page.locator("#making .tile")
    expect(tiles.first.locator("b")).to_have_text("1st in line")
    make(page, "a second heron")
    expect(tiles.first.locator("b")).to_have_text("2nd in line")
    expect(tiles.nth(2).locator("b")).to_have_text("Being made")
    expect(tiles.nth(2).get_by_role("button")).to_have_count(0)
    expect(page.locator("#status")).to_have_text("The picture waits in line: a second heron")
    assert violations(page) == []
    # Whoever comes back finds them in their places, with the buttons that stay while the words change.
    page.reload()
    expect(tiles.first.locator("b")).to_contain_text("in line")
    tiles.first.get_by_role("button", name="Cancel").focus()
    let_go.set()
    expect(page.locator("#making .tile[data-guid]")).to_have_count(3)


def test_a_waiting_picture_is_cancelled_by_keyboard_and_nothing_is_paid(
    gateway: Gateway, open_page: Open, let_go: Event
) -> None:
    page = open_page(user=ALICE, at=gateway.service.url)
    gateway.begin()
    occupy(gateway, page)
    make(page, "a heron that is not needed")
    page.get_by_role("button", name="Cancel").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Cancelled. Nothing was paid.")).to_be_visible()
    expect(page.locator("#making .tile")).to_have_count(1)
    expect(page.get_by_label("Prompt")).to_be_focused()
    let_go.set()
    expect(page.locator("#making .tile[data-guid]")).to_have_count(1)
    assert gateway.charges == 1
    page.reload()
    expect(page.locator("#making .tile")).to_have_count(0)


@pytest.mark.slow
def test_a_picture_that_was_begun_before_the_cancel_arrived_is_kept(
    gateway: Gateway, open_page: Open, let_go: Event
) -> None:
    late, ended = Event(), Event()

    def may_end() -> bool:
        """Return true once for the first picture, and later for the second."""
        if let_go.is_set() and not ended.is_set():
            ended.set()
            return True
        return late.is_set()

    gateway.hold(may_end, "held")
    page = open_page(user=ALICE, at=gateway.service.url)
    occupy(gateway, page)
    make(page, "a heron at the last moment")

    def arrive_late(route: Route) -> None:
        if route.request.method != "DELETE":
            route.continue_()
            return
        let_go.set()
        asked = len(gateway.upstream.generations)
        while len(gateway.upstream.generations) == asked:
            page.wait_for_timeout(20)
        route.continue_()

    page.route("**/image/*", arrive_late)
    page.get_by_role("button", name="Cancel").click()
    tile = page.locator("#making .tile").first
    expect(tile).to_contain_text("It was begun before you cancelled.")
    late.set()
    expect(page.locator("#making .tile[data-guid]")).to_have_count(2)


@pytest.mark.slow
def test_a_cancel_that_fails_says_so_and_the_picture_is_made(gateway: Gateway, open_page: Open, let_go: Event) -> None:
    page = open_page(user=ALICE, at=gateway.service.url)
    occupy(gateway, page)
    make(page, "a heron that cannot be cancelled")
    page.route("**/image/*", lambda route: route.abort() if route.request.method == "DELETE" else route.continue_())
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("It is not cancelled: The service cannot be reached.")).to_be_visible()
    expect(page.get_by_role("button", name="Cancel")).to_be_enabled()
    let_go.set()
    expect(page.locator("#making .tile[data-guid]")).to_have_count(2)


@pytest.mark.slow
@pytest.mark.parametrize("script", [True, False])
def test_the_page_of_a_waiting_picture_goes_on_to_the_picture(
    gateway: Gateway, open_page: Open, let_go: Event, script: bool
) -> None:
    occupy(gateway, open_page(user=ALICE, at=gateway.service.url))
    with gateway.service.client(ALICE) as client:
        headers = {"Prefer": "respond-async"}
        made = client.post("/image", json={"prompt": f"a heron on its page {script}"}, headers=headers).json()
    assert made["status"] == "queued"
    page = open_page(f"/view/{made['guid']}", user=ALICE, at=gateway.service.url, java_script_enabled=script)
    expect(page.locator(".state")).to_contain_text("1st in line")
    expect(page.get_by_role("button", name="Delete")).to_have_count(0)
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    if script:
        assert violations(page) == []
    let_go.set()
    expect(page.locator(".whole")).to_be_visible()
    expect(page.locator("dl")).to_contain_text("Cost$0.032")


@pytest.mark.slow
@pytest.mark.parametrize("script", [True, False])
def test_a_waiting_picture_is_cancelled_on_its_page(
    gateway: Gateway, open_page: Open, let_go: Event, script: bool
) -> None:
    occupy(gateway, open_page(user=ALICE, at=gateway.service.url))
    with gateway.service.client(ALICE) as client:
        headers = {"Prefer": "respond-async"}
        made = client.post("/image", json={"prompt": "a heron to cancel"}, headers=headers).json()
        page = open_page(f"/view/{made['guid']}", ALICE, gateway.service.url, java_script_enabled=script)
        page.get_by_role("button", name="Cancel").click()
        page.wait_for_url("**/")
        assert client.get(f"/image/{made['guid']}").status_code == 404


@pytest.mark.slow
def test_a_price_and_what_is_left_are_said_before_the_click(gateway: Gateway, open_page: Open) -> None:
    page = open_page(user=BOB, at=gateway.service.url)
    price = page.locator("#price")
    page.get_by_label("Prompt").fill("a cheap thing")
    expect(price).to_have_text("about $0.053")
    choose(page, "Square", "Low")
    expect(price).to_have_text("about $0.006")
    page.locator(".options summary").click()
    page.get_by_label("Model").fill("a-model-of-nobody")
    expect(price).to_have_text("unpriced: the cost is not known")
    budget(gateway, "set", "class:9<b>a", "1", "--per", "day")
    page.get_by_label("Model").fill("")
    expect(price).to_have_text("about $0.006 · $1.00 left today")
    page.get_by_label("Model").fill("a-model-of-nobody")
    words = "It would be refused: no price is known, and the budget of class \u20689<b>a\u2069 for today needs one."
    expect(price).to_have_text(words)
    page.get_by_role("button", name="Make", exact=True).click()
    expect(page.locator("#making .fail b")).to_have_text("Without a price")
    budget(gateway, "remove", "class:9<b>a")


@pytest.mark.slow
def test_a_budget_that_would_refuse_is_said_before_the_click_and_after_it(gateway: Gateway, open_page: Open) -> None:
    budget(gateway, "set", "user:bob", "0.016", "--per", "total")
    gateway.begin()
    page = open_page(user=BOB, at=gateway.service.url, viewport={"width": 320, "height": 640})
    price = page.locator("#price")
    page.get_by_label("Prompt").fill("a dear thing")
    expect(price).to_contain_text("It would be refused: your budget has $0.016 left of $0.016, and this may cost up to")
    expect(price).to_contain_text("With a shape and a quality chosen it may cost less.")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert violations(page) == []
    page.get_by_role("button", name="Make", exact=True).click()
    tile = page.locator("#making .fail")
    expect(tile.locator("b")).to_have_text("Over the budget")
    expect(tile).to_contain_text("Your budget has $0.016 left of $0.016")
    assert violations(page) == []
    tile.get_by_role("button", name="Dismiss").click()
    choose(page, "Square", "Low")
    page.locator(".options summary").click()
    page.get_by_role("combobox", name="Pictures").select_option("4")
    expect(price).to_contain_text("Only 2 of 4 would be made: your budget has $0.016 left")
    assert gateway.charges == 0
    budget(gateway, "remove", "user:bob")


@pytest.mark.slow
def test_the_header_says_what_the_tightest_budget_leaves(gateway: Gateway, open_page: Open) -> None:
    budget(gateway, "set", "service", "2000", "--per", "month")
    page = open_page(user=BOB, at=gateway.service.url)
    money = page.get_by_role("link", name="left")
    expect(money).to_have_text(re.compile(r"\$(1,999|2,000)\.\d\d left"))
    budget(gateway, "set", "user:bob", "0.5", "--per", "total")
    page.reload()
    expect(money).to_have_text("$0.50 left")
    expect(money).to_have_attribute("title", "of $0.50 for you in all")
    assert page.locator(".meter rect").get_attribute("width") == "100"
    choose(page, "Square", "Low")
    make(page, "a puffin that costs something")
    expect(page.locator("#making .tile[data-guid] img[srcset]")).to_be_visible()
    expect(money).to_have_text("$0.47 left")
    expect(page.locator(".meter rect")).to_have_attribute("width", "94")
    page.set_viewport_size({"width": 320, "height": 640})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert violations(page) == []
    budget(gateway, "remove", "user:bob")
    budget(gateway, "remove", "service")
    page.reload()
    expect(page.locator("#money")).to_have_count(0)


@pytest.mark.slow
def test_what_is_being_made_shares_a_row_with_the_newest_pictures(
    gateway: Gateway, open_page: Open, let_go: Event
) -> None:
    page = open_page(user=ALICE, at=gateway.service.url)
    occupy(gateway, page)
    let_go.set()
    expect(page.locator("#making .tile[data-guid]")).to_have_count(1)
    gateway.hold(let_go.is_set, "held")
    let_go.clear()
    page.reload()
    occupy(gateway, page)
    waits, newest = page.locator("#making .tile").bounding_box(), page.locator("#results .tile").first.bounding_box()
    assert waits is not None
    assert newest is not None
    assert waits["y"] == newest["y"]
    assert waits["x"] < newest["x"]
    let_go.set()
    expect(page.locator("#making .tile[data-guid]")).to_have_count(1)


@pytest.mark.slow
def test_an_early_view_is_in_the_tile_before_the_picture(gateway: Gateway, open_page: Open) -> None:
    event = Event()
    gateway.hold(event.is_set, "held then=stream after=2")
    page = open_page(user=ALICE, at=gateway.service.url)
    page.locator(".options summary").click()
    choice = page.get_by_label("Early views")
    # They cost something here, so they are not made unless one asks for them.
    expect(choice).to_have_value("0")
    choice.select_option("2")
    page.keyboard.press("Escape")
    page.get_by_label("Prompt").fill("a seal that is seen early")
    expect(page.locator("#price")).to_contain_text("$")
    make(page, "a seal that is seen early")
    tile = page.locator("#making .tile").first
    early = tile.get_by_alt_text("Early view")
    expect(early).to_be_visible()
    page.wait_for_function("document.querySelector('img.early').naturalWidth > 0")
    expect(page.locator("#status")).to_have_text("An early view is there: a seal that is seen early")
    assert violations(page) == []
    event.set()
    expect(page.locator("#making .tile[data-guid] img[srcset]")).to_be_visible()
    expect(early).to_have_count(0)
    # The choice is remembered, and not what is usual here.
    page.reload()
    expect(choice).to_have_value("2")


@pytest.mark.slow
def test_a_picture_is_looked_at_when_the_stream_of_its_early_views_breaks(
    gateway: Gateway, open_page: Open, let_go: Event
) -> None:
    page = open_page(user=ALICE, at=gateway.service.url)
    page.evaluate(
        """() => {
          const send = window.fetch;
          window.fetch = async (address, options) => {
            const response = await send(address, options);
            if (options?.headers?.Accept !== "text/event-stream") return response;
            const first = (await response.body.getReader().read()).value;
            const body = new ReadableStream({
              start(control) {
                control.enqueue(first);
                setTimeout(() => control.error(new TypeError("network error")), 300);
              },
            });
            return new Response(body, { headers: response.headers });
          };
        }"""
    )
    gateway.begin()
    page.locator(".options summary").click()
    page.get_by_label("Early views").select_option("2")
    page.keyboard.press("Escape")
    occupy(gateway, page)
    tile = page.locator("#making .tile").first
    expect(tile.locator("b")).to_have_text("Being made")
    let_go.set()
    expect(page.locator("#making .tile[data-guid]")).to_have_count(1)
    assert gateway.charges == 1


@pytest.mark.slow
def test_an_own_waiting_picture_is_a_tile_on_any_device(gateway: Gateway, open_page: Open, let_go: Event) -> None:
    occupy(gateway, open_page(user=ALICE, at=gateway.service.url))
    with gateway.service.client(ALICE) as client:
        made = client.post("/image", json={"prompt": "a tern"}, headers={"Prefer": "respond-async"}).json()
    assert made["status"] == "queued"
    plain = open_page(user=ALICE, at=gateway.service.url, java_script_enabled=False)
    expect(plain.locator("#making .tile")).to_have_count(2)
    expect(plain.locator("#making .tile").first).to_contain_text("Waiting")
    page = open_page("/?mine=1", user=ALICE, at=gateway.service.url)
    tiles = page.locator("#making .tile")
    expect(tiles.first.locator("b")).to_have_text("1st in line")
    expect(tiles.first).to_contain_text("a tern")
    expect(tiles.nth(1).locator("b")).to_have_text("Being made")
    assert violations(page) == []
    expect(open_page(user=BOB, at=gateway.service.url).locator("#making .tile")).to_have_count(0)
    expect(open_page("/?prompt=tern", user=ALICE, at=gateway.service.url).locator("#making .tile")).to_have_count(0)
    let_go.set()
    expect(page.locator("#making .tile[data-guid] img[srcset]")).to_have_count(2)
