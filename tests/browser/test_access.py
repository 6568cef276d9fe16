"""Access for everybody: axe on every page and state, both themes, 320 pixels, and the keyboard."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import Gallery, Open, wait_until
from tests.fixtures.services import ALICE

AXE = Axe().axe_script
RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "resultTypes": ["violations"],
}
COLOUR_RULES = {**RULES, "runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}
"""Those that a theme decides."""
SETTLED = """() => document.readyState === "complete" && !document.querySelector("[aria-busy=true]") &&
    document.getAnimations().every(({ effect, playState }) =>
        playState === "finished" || effect.getComputedTiming().iterations === Infinity)"""


def violations(page: Page) -> list[str]:
    """Return the rules that a page violates in either theme, as it stands once it is loaded and nothing moves."""
    found = []
    for scheme, rules in (("light", RULES), ("dark", COLOUR_RULES)):
        page.emulate_media(color_scheme=scheme)
        wait_until(page, SETTLED)
        if page.evaluate("typeof axe === 'undefined'"):
            page.evaluate(AXE)
        found += [
            f"{scheme}, {violation['id']}: {node['html'][:200]} {node.get('failureSummary', '')[:300]}"
            for violation in page.evaluate("(options) => axe.run(options)", rules)["violations"]
            for node in violation["nodes"]
        ]
    return found


def test_no_main_page_violates_a_rule(gallery: Gallery, open_page: Open) -> None:
    page = open_page(user=ALICE)
    assert violations(page) == []
    page.get_by_label("Account of alice").click()
    assert violations(page) == []
    for path in (f"/view/{gallery.pictures[0]['guid']}", "/spending", "/keys"):
        page.goto(path)
        assert violations(page) == [], path


@pytest.mark.slow
def test_no_other_page_or_state_violates_a_rule(gallery: Gallery, open_page: Open) -> None:
    page = open_page("/login")
    assert violations(page) == []
    page.get_by_label("Name").fill("alice")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert violations(page) == []
    page = open_page(user=ALICE)
    for path in ("/?prompt=zebra", "/?cursor=x", "/?mine=1&visibility=private&tag=city", "/nowhere"):
        page.goto(path)
        assert violations(page) == [], path
    page.goto("/")
    page.locator(".tile a").first.click()
    expect(page.locator("dialog .view")).to_be_visible()
    assert violations(page) == []
    page.keyboard.press("Escape")
    page.locator(".options summary").click()
    assert violations(page) == []


@pytest.mark.slow
@pytest.mark.parametrize("width", [320, 3840])
def test_no_page_is_wider_than_the_window(gallery: Gallery, open_page: Open, width: int) -> None:
    tagged = gallery.create(prompt="w" * 500, tags=["w" * 64], filename=f"{'w' * 90}.png")
    page = open_page(user=ALICE, viewport={"width": width, "height": 640})
    for path in (
        f"/view/{tagged['guid']}",
        "/",
        "/login",
        "/nowhere",
        f"/view/{gallery.pictures[0]['guid']}",
        "/?prompt=zebra",
        "/spending",
        "/keys",
    ):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path


@pytest.mark.slow
def test_the_options_of_a_narrow_bar_are_in_line(open_page: Open) -> None:
    page = open_page(user=ALICE, viewport={"width": 320, "height": 640})
    page.locator(".options summary").click()
    boxes = [label.bounding_box() or {} for label in page.locator(".fields label:visible").all()]
    edges = {round(box["x"]) for box in boxes}, {round(box["x"] + box["width"]) for box in boxes}
    assert [len(found) for found in edges] == [2, 2]


@pytest.mark.slow
def test_every_target_is_large_enough(gallery: Gallery, open_page: Open) -> None:
    one, other = (picture["guid"] for picture in gallery.pictures[:2])
    page = open_page("/login", user=ALICE)
    for path in (f"/view/{one}", f"/compare?a={one}", f"/compare?a={one}&b={other}"):
        page.goto(path)
        small = page.evaluate(
            """[...document.querySelectorAll("a, button, input, summary")].filter(e => e.checkVisibility())
               .map(e => [e.outerHTML.slice(0, 80), e.getBoundingClientRect()])
               .filter(([html, box]) => !html.includes("skip") && (box.height < 24 || box.width < 24))
               .map(([html]) => html)"""
        )
        assert small == [], path


def test_the_keyboard_alone_reaches_everything(open_page: Open) -> None:
    page = open_page()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator(".tile a").first).to_be_focused()
    outline = page.evaluate("getComputedStyle(document.querySelector('.tile:has(a:focus-visible)')).outlineStyle")
    assert outline == "solid"


HIDDEN = """() => {
    const focused = document.activeElement;
    const { x, y, width, height } = focused.getBoundingClientRect();
    const isSeen = [3, width / 2, width - 3].some((left) => {
        const top = document.elementFromPoint(x + left, y + height / 2);
        return top && (focused.contains(top) || top.contains(focused) || focused.closest(".tile")?.contains(top));
    });
    return isSeen || focused === document.body ? "" : focused.outerHTML.slice(0, 120);
}"""
"""Return the element that has the focus if other parts of the page cover all of it, an empty text otherwise."""


@pytest.mark.slow
def test_the_focus_is_never_hidden(open_page: Open) -> None:
    page = open_page(user=ALICE, viewport={"width": 320, "height": 568})
    for key in ("Tab", "Shift+Tab"):
        for _ in range(45):
            page.keyboard.press(key)
            # The frame in which the browser has scrolled.
            page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
            assert page.evaluate(HIDDEN) == ""


@pytest.mark.slow
def test_a_low_window_has_all_options_in_reach(open_page: Open) -> None:
    page = open_page(user=ALICE, viewport={"width": 740, "height": 320})
    page.locator(".options summary").click()
    shape = page.get_by_label("Shape")
    shape.focus()
    box = shape.bounding_box()
    assert box is not None
    assert box["y"] >= 0
    assert page.evaluate(HIDDEN) == ""


@pytest.mark.slow
def test_a_printed_page_is_light_and_without_controls(gallery: Gallery, open_page: Open) -> None:
    page = open_page(user=ALICE, color_scheme="dark")
    page.locator(".tile a").first.click()
    expect(page.locator("dialog .view h1")).to_be_visible()
    page.emulate_media(media="print")
    expect(page.locator("dialog .whole")).to_be_visible()
    expect(page.locator("dialog .acts").first).to_be_hidden()
    expect(page.locator("#results")).to_be_hidden()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(250, 249, 247)"
    for path in ("/", f"/view/{gallery.pictures[0]['guid']}", "/spending", "/keys"):
        page.goto(path)
        assert page.locator(".bar:visible, .makebar:visible, .nav:visible, .acts:visible, .chips:visible").count() == 0


@pytest.mark.slow
def test_nothing_moves_for_those_who_want_no_motion(open_page: Open) -> None:
    page = open_page(user=ALICE, reduced_motion="reduce")
    page.route("**/image", lambda route: None)
    page.get_by_label("Prompt").fill("a still life")
    page.get_by_role("button", name="Make", exact=True).click()
    expect(page.locator("#making .wait")).to_be_visible()
    assert page.evaluate("document.getAnimations().length") == 0


@pytest.mark.slow
def test_nothing_covers_the_pictures_in_a_low_window(gallery: Gallery, open_page: Open) -> None:
    # 1280 × 720 enlarged four times.
    page = open_page(user=ALICE, viewport={"width": 320, "height": 180})
    page.locator(".options summary").click()
    page.get_by_label("Tags").click()
    expect(page.get_by_label("Tags")).to_be_in_viewport(ratio=1)
    page.locator(".tile a").nth(3).focus()
    tile = page.locator(".tile").nth(3)
    # Some are higher than the window.
    expect(tile).to_be_in_viewport(ratio=0.5)
    covered = """tile => { const { left, top, bottom, width } = tile.getBoundingClientRect();
        const at = (y) => document.elementFromPoint(left + width / 2, y);
        const ends = [Math.max(top, 0) + 5, Math.min(bottom, innerHeight) - 5];
        return ends.filter((y) => !tile.contains(at(y))); }"""
    assert tile.evaluate(covered) == []
    assert violations(page) == []


@pytest.mark.slow
def test_a_phone_does_not_enlarge_the_page_at_a_field(gallery: Gallery, open_page: Open) -> None:
    small = """() => [...document.querySelectorAll("input:not([type=hidden]), textarea, select")]
        .filter((field) => parseFloat(getComputedStyle(field).fontSize) < 16).map((field) => field.name)"""
    page = open_page(user=ALICE, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    for path in ("/", f"/view/{gallery.pictures[0]['guid']}", "/keys", f"/compare?a={gallery.pictures[0]['guid']}"):
        page.goto(path)
        assert page.evaluate(small) == [], path


@pytest.mark.slow
def test_filters_that_are_set_do_not_widen_the_page(gallery: Gallery, open_page: Open) -> None:
    page = open_page("/?mine=1&tag=city&tag=sea&model=sketch-1", ALICE, viewport={"width": 390, "height": 844})
    expect(page.locator(".chips .on")).to_have_count(4)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
