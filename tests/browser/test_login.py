"""Login sessions in a real browser: made by people, ended elsewhere, and useless to pages of other origins."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Gallery, Open, log_in, lose_answer
from tests.browser.test_making import count_of
from tests.fixtures.services import ALICE, BOB

FOREIGN = "http://elsewhere.example"
LOADS = """(address) => new Promise((done) => {
    const image = new Image();
    image.onload = () => done(true);
    image.onerror = () => done(false);
    image.src = address;
})"""


@pytest.mark.parametrize("script", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_login_by_keyboard_leads_back_to_where_one_was(gallery: Gallery, open_page: Open, script: bool) -> None:
    page = open_page("/spending", java_script_enabled=script)
    expect(page).to_have_url(f"{gallery.url}/login?next=%2Fspending")
    for password in ("wrong", ALICE[1]):
        page.get_by_label("Name").fill(ALICE[0])
        page.keyboard.press("Tab")
        expect(page.get_by_label("Password")).to_be_focused()
        page.keyboard.insert_text(password)
        page.keyboard.press("Enter")
        if password == "wrong":
            expect(page.get_by_role("alert")).to_be_visible()
            expect(page.get_by_label("Name")).to_have_value(ALICE[0])
    expect(page).to_have_url(f"{gallery.url}/spending")
    page.get_by_label("Account of alice").press("Enter")
    page.get_by_role("button", name="Log out").press("Enter")
    expect(page.get_by_role("link", name="Log in")).to_be_visible()


@pytest.mark.slow
def test_a_new_password_ends_the_sessions_of_others(gallery: Gallery, open_page: Open) -> None:
    carol = ("carol", "the first secret of carol")
    gallery.service.add_user(*carol)
    page = open_page(user=carol)
    expect(page.get_by_label("Account of carol")).to_be_visible()
    with gallery.service.client(carol) as client:
        new = {"password": "the second secret of hers", "current_password": carol[1]}
        changed = client.patch("/user/carol", json=new)
    assert changed.status_code == 200, changed.text
    page.get_by_label("Prompt").fill("a picture of nobody")
    page.get_by_role("button", name="Make").click()
    expect(page.locator("#making .fail")).to_contain_text("Your session has ended")
    page.goto("/spending")
    expect(page).to_have_url(re.compile("/login"))


def test_a_page_left_open_pays_for_nobody_else(gallery: Gallery, open_page: Open) -> None:
    page = open_page(user=ALICE)
    page.get_by_label("Prompt").fill("a bill for somebody else")
    # In another tab.
    assert page.context.request.post("/session", data={"username": BOB[0], "password": BOB[1]}).ok
    page.get_by_role("button", name="Make").click()
    expect(page.locator("#making .fail")).to_contain_text("Somebody else has logged in since this page was opened.")
    assert count_of(gallery, "bill for somebody") == 0
    page.get_by_role("button", name="Load the page again").click()
    expect(page.get_by_label("Account of bob")).to_be_visible()
    expect(page.get_by_label("Prompt")).to_have_value("")
    page.context.clear_cookies()
    log_in(page, ALICE)
    expect(page.get_by_label("Prompt")).to_have_value("a bill for somebody else")


@pytest.mark.slow
def test_a_lost_answer_and_a_logout_pay_once(gallery: Gallery, open_page: Open) -> None:
    page = open_page(user=ALICE)
    page.route("**/image", lose_answer)
    page.get_by_label("Prompt").fill("a receipt that was lost")
    page.get_by_role("button", name="Make").click()
    expect(page.locator("#making .fail b")).to_have_text("Not reached")
    page.unroute("**/image")
    page.context.request.post("/logout", form={"unused": ""}, headers={"Origin": gallery.url})
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#making .fail")).to_contain_text("Your session has ended: log in again.")
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_url(f"{gallery.url}/login?next=%2F")
    log_in(page, ALICE)
    # It is asked for again under its key, and shown.
    expect(page.locator("#status")).to_contain_text("The picture is ready: a receipt")
    assert count_of(gallery, "receipt that was lost") == 1


@pytest.mark.slow
def test_a_form_without_a_script_pays_for_nobody_else(gallery: Gallery, open_page: Open) -> None:
    page = open_page(java_script_enabled=False)
    log_in(page, ALICE)
    page.goto("/")
    page.get_by_label("Prompt").fill("a form left open")
    assert page.context.request.post("/session", data={"username": BOB[0], "password": BOB[1]}).ok
    page.get_by_role("button", name="Make").click()
    expect(page.get_by_role("alert")).to_contain_text("Somebody else has logged in")
    expect(page.get_by_label("Prompt")).to_have_value("a form left open")
    assert count_of(gallery, "form left open") == 0
    page.get_by_role("button", name="Make").click()
    page.wait_for_url(re.compile("/view/"))
    expect(page.locator(".by")).to_contain_text("bob")


@pytest.mark.slow
def test_a_page_of_another_origin_changes_and_reads_nothing(gallery: Gallery, open_page: Open) -> None:
    secret = gallery.create(prompt="a secret that others link to", visibility="private")
    page = open_page(user=ALICE)
    form = f'<form method="post" action="{gallery.url}/create"><input name="prompt" value="a forged thing"></form>'
    page.route(f"{FOREIGN}/**", lambda route: route.fulfill(content_type="text/html", body=form))
    page.goto(f"{FOREIGN}/")
    assert sent_by_script(page, f"{gallery.url}/image", "POST") is None
    assert sent_by_script(page, f"{gallery.url}/image/{secret['guid']}", "DELETE") is None
    assert page.evaluate(LOADS, f"{gallery.url}{secret['content_url']}") is False
    with page.expect_navigation() as navigation:
        page.evaluate("document.forms[0].submit()")
    assert navigation.value.status == 403
    with gallery.service.client(ALICE) as client:
        assert client.get("/image", params={"prompt": "forged thing"}).json() == []
        assert client.get(f"/image/{secret['guid']}").status_code == 200


def sent_by_script(page: Page, address: str, method: str) -> object:
    """Have a page send a request with the cookies of the service, and return what it may read of the response."""
    return page.evaluate(
        """([address, method]) => fetch(address, {method, credentials: "include", body: "{}"})
           .then((response) => response.text(), () => null)""",
        [address, method],
    )
