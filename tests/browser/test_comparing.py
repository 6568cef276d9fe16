"""Two pictures side by side, and another like one, in a real browser."""

import re

import pytest
from playwright.sync_api import Route, expect

from tests.browser.conftest import Gallery, Open, wait_until
from tests.browser.test_access import violations
from tests.browser.test_making import count_of
from tests.fixtures.services import ALICE


@pytest.mark.slow
def test_two_pictures_are_compared_by_keyboard(gallery: Gallery, open_page: Open) -> None:
    first = gallery.create(prompt="a wooden bridge in rain", size="256x384")
    second = gallery.create(prompt="a wooden bridge in snow", size="384x256")
    page = open_page(f"/view/{first['guid']}")
    page.get_by_role("link", name="Compare").press("Enter")
    page.get_by_role("searchbox", name="Search pictures").fill("bridge snow")
    page.keyboard.press("Enter")
    choice = page.get_by_role("link", name="a wooden bridge in snow").first
    expect(page).to_have_url(re.compile("prompt=bridge"))
    assert violations(page) == []
    choice.press("Enter")
    expect(page).to_have_url(f"{gallery.url}/compare?a={first['guid']}&b={second['guid']}")
    expect(page.locator("mark")).to_have_text(["rain", "snow"])
    assert violations(page) == []
    zoom = page.get_by_role("button", name="Every pixel")
    zoom.press("Enter")
    expect(zoom).to_have_attribute("aria-pressed", "true")
    page.set_viewport_size({"width": 400, "height": 360})
    page.get_by_role("group", name="First picture").evaluate("pane => { pane.scrollTop = 1e6; }")
    wait_until(page, "document.querySelectorAll('.pane')[1].scrollTop > 0")
    assert violations(page) == []
    page.get_by_role("link", name="Swap").click()
    expect(page.locator("mark")).to_have_text(["snow", "rain"])
    page.get_by_role("link", name="Second picture").click()
    expect(page).to_have_url(re.compile(first["guid"]))


@pytest.mark.slow
@pytest.mark.parametrize("width", [320, 3840])
def test_no_comparison_is_wider_than_the_window(gallery: Gallery, open_page: Open, width: int) -> None:
    one, other = (picture["guid"] for picture in gallery.visible(None)[:2])
    long = gallery.create(prompt="x" * 3000)["guid"]
    page = open_page(viewport={"width": width, "height": 640}, java_script_enabled=False)
    for path in (f"/compare?a={one}", f"/compare?a={one}&b={other}", f"/compare?a={long}&b={one}"):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
    figures = [figure.bounding_box() for figure in page.locator("figure").all()]
    assert (figures[0]["y"] == figures[1]["y"]) is (width > 720)  # type: ignore[index]


@pytest.mark.slow
def test_a_picture_is_varied_from_the_dialog(gallery: Gallery, open_page: Open) -> None:
    made = gallery.create(prompt="a fern in a jar", size="384x256")
    page = open_page("/?prompt=fern", user=ALICE)
    page.locator(".tile a").first.click()
    vary = page.locator("dialog").get_by_role("button", name="Vary")
    expect(vary).to_have_attribute("title", re.compile("the generator here cannot edit pictures. This one: free"))
    vary.press("Enter")
    page.wait_for_url(re.compile(f"/view/(?!{made['guid']})"))
    expect(page.locator(".whole")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_text("a fern in a jar")


@pytest.mark.slow
def test_a_variation_whose_answer_was_lost_is_paid_once(gallery: Gallery, open_page: Open) -> None:
    made = gallery.create(prompt="a moth at a lamp")
    page = open_page(f"/view/{made['guid']}", user=ALICE)
    lost: list[str] = []

    def lose(route: Route) -> None:
        # The service makes it; its answer does not get through.
        lost.append(route.fetch().url)
        route.abort()

    page.route("**/vary", lose)
    vary = page.get_by_role("button", name="Vary")
    vary.dblclick()
    expect(page.locator(".toast.problem")).to_contain_text("The service cannot be reached.")
    with page.expect_event("requestfailed"):
        page.get_by_role("button", name="Try again").click()
    page.unroute("**/vary")
    page.goto("/docs")
    page.go_back()
    vary.click()
    page.wait_for_url(lost[0])
    assert len(lost) == 2
    assert count_of(gallery, "moth at a lamp") == 2
    # Whoever has seen it and comes back wants another one.
    page.go_back()
    vary.click()
    page.wait_for_url(re.compile("/view/(?!{}|{})".format(made["guid"], lost[0][-36:])))
    for _ in range(100):
        if count_of(gallery, "moth at a lamp") != 2:  # one that is being made is not found yet
            break
        page.wait_for_timeout(100)
    assert count_of(gallery, "moth at a lamp") == 3


@pytest.mark.slow
def test_a_refused_variation_says_why_and_a_changed_picture_is_varied(gallery: Gallery, open_page: Open) -> None:
    made = gallery.create(prompt="a newt in a well")
    page = open_page(f"/view/{made['guid']}", user=ALICE)
    refusal = '{"status": 402, "code": "budget-exceeded", "detail": "Nothing is left."}'
    page.route("**/vary", lambda route: route.fulfill(status=402, content_type="application/json", body=refusal))
    page.get_by_role("button", name="Vary").click()
    problem = page.locator(".toast.problem")
    expect(problem.locator("span")).to_have_text("No picture is made: Nothing is left.")
    page.clock.install()
    page.get_by_role("button", name="Vary").click()
    page.clock.run_for(60_000)
    # It stays until it is read, and is shown once.
    expect(problem).to_have_count(1)
    page.get_by_role("button", name="Dismiss").click()
    expect(problem).to_have_count(0)
    page.unroute("**/vary")
    page.route("**/vary", lambda route: (route.fetch(), route.abort()))
    page.get_by_role("button", name="Vary").click()
    expect(page.locator(".toast.problem").last).to_contain_text("The service cannot be reached.")
    page.unroute("**/vary")
    # The key belongs to a variation that everybody sees.
    page.get_by_role("button", name="Make it private").click()
    page.get_by_role("button", name="Make it public").wait_for()
    page.get_by_role("button", name="Vary").click()
    expect(page.locator(".toast.problem").last).to_contain_text("used for another request")
    page.get_by_role("button", name="Vary").click()
    page.wait_for_url(re.compile(f"/view/(?!{made['guid']})"))
    expect(page.locator(".by")).to_contain_text("only you")
