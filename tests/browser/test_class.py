"""The page of a class in a real browser: by mouse and keyboard, without a script, with axe, on a phone."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open
from tests.browser.test_access import violations
from tests.fixtures.service import Service
from tests.fixtures.services import ALICE, BOB

TINA, ROOT = ("tina", "a good long password"), ("root", "another good long password")
MARKUP = "<img src=x onerror=alert(1)>\u202e"


@pytest.fixture(scope="module")
def school(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Yield a service with a class, its teacher and an administrator."""
    with Service(tmp_path_factory.mktemp("school")) as service:
        service.add_user(*ALICE, class_key="9a")
        service.add_user(*BOB, class_key="9a")
        service.add_user(*TINA, class_key="9a", role="teacher")
        service.add_user(*ROOT, role="admin")
        with service.client(ALICE) as client:
            for prompt in ("a duck", MARKUP):
                assert client.post("/image", json={"prompt": prompt, "size": "256x256"}).status_code == 200
        yield service


def open_user(page: Page, name: str) -> None:
    page.locator(".members summary", has_text=name).click()


@pytest.mark.slow
def test_no_state_violates_a_rule_or_is_wider_than_a_phone(school: Service, open_page: Open) -> None:
    small = {"width": 320, "height": 640}
    for user in (TINA, ROOT):
        page = open_page("/class", user=user, at=school.url, viewport=small)
        assert violations(page) == []
        open_user(page, "alice")
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.locator("#import textarea").fill("user\nnew one\n")
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_role("heading", name="This would change")).to_be_visible()
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_user_is_paused_by_the_keyboard_and_the_row_stays_open(school: Service, open_page: Open) -> None:
    page = open_page("/class", user=TINA, at=school.url)
    page.locator(".members summary", has_text="bob").focus()
    page.keyboard.press("Enter")
    for name, tag in (("Pause", 1), ("Resume", 0)):
        page.get_by_role("button", name=f"{name} bob").press("Enter")
        expect(page.locator(".members .tag", has_text="paused")).to_have_count(tag)
        expect(page.locator(".members details[open] summary")).to_contain_text("bob")


@pytest.mark.slow
def test_a_cap_is_set_and_taken_away(school: Service, open_page: Open) -> None:
    page = open_page("/class", user=TINA, at=school.url)
    open_user(page, "alice")
    page.get_by_label("Cap in $").first.fill("2.50")
    page.get_by_role("button", name="Set").first.click()
    expect(page.locator(".members summary", has_text="alice")).to_contain_text("$2.50 left of $2.50 a month")
    page.get_by_role("button", name="Take away").click()
    expect(page.locator(".members summary", has_text="alice")).to_contain_text("no cap")


@pytest.mark.slow
def test_an_administrator_caps_a_class(school: Service, open_page: Open) -> None:
    page = open_page("/class?class=9a", user=ROOT, at=school.url)
    whole = page.get_by_role("listitem").filter(has_text="The whole class")
    whole.get_by_label("Cap in $").fill("20")
    whole.get_by_label("Cap in $").press("Enter")
    expect(whole).to_contain_text("$20.00 left of $20.00 this month")
    assert violations(page) == []
    page.get_by_role("button", name="Take away from the whole class").click()
    expect(whole).to_contain_text("no cap")


@pytest.mark.slow
def test_what_is_printed_has_users_and_no_forms(school: Service, open_page: Open) -> None:
    page = open_page("/class", user=ROOT, at=school.url)
    page.emulate_media(media="print")
    expect(page.locator(".members summary", has_text="alice")).to_be_visible()
    for form in (page.get_by_label("Cap in $").first, page.get_by_role("heading", name="Add users")):
        expect(form).to_be_hidden()


@pytest.mark.slow
def test_a_picture_is_hidden_from_others_and_shown_again(school: Service, open_page: Open) -> None:
    page = open_page("/class", user=TINA, at=school.url)
    shown = page.locator(".lately li")
    expect(shown).to_have_count(2)
    page.get_by_role("button", name="Hide a duck").click()
    expect(page.get_by_role("button", name="Show again a duck")).to_be_visible()
    gallery = open_page("/", user=BOB, at=school.url)
    expect(gallery.locator("#results .tile")).to_have_count(1)
    page.get_by_role("button", name="Show again a duck").click()
    expect(page.get_by_role("button", name="Hide a duck")).to_be_visible()


@pytest.mark.slow
@pytest.mark.parametrize("script", [True, False])
def test_a_picture_is_hidden_on_its_own_page(school: Service, open_page: Open, script: bool) -> None:
    with school.client(ALICE) as client:
        guid = client.get("/image").json()[0]["guid"]
        page = open_page(f"/view/{guid}", user=TINA, at=school.url, java_script_enabled=script)
        page.get_by_role("button", name="Hide").press("Enter")
        if script:
            expect(page.get_by_role("button", name="Show again")).to_be_focused()
            expect(page.locator(".by")).to_contain_text("hidden by staff")
            assert violations(page) == []
        else:
            page.wait_for_url("**/class**")
            page.goto(f"/view/{guid}")
        assert client.get(f"/image/{guid}").json()["hidden"]
        page.get_by_role("button", name="Show again").click()
        if script:
            expect(page.get_by_role("button", name="Hide")).to_be_focused()
        else:
            page.wait_for_url("**/class**")
        assert not client.get(f"/image/{guid}").json()["hidden"]


@pytest.mark.slow
def test_a_file_is_previewed_imported_and_its_passwords_log_in(school: Service, open_page: Open) -> None:
    page = open_page("/class", user=TINA, at=school.url)
    table = "user;class_key\nJürgen;9a\n".encode("cp1252")
    page.locator("#file input").set_input_files({"name": "class.csv", "mimeType": "text/csv", "buffer": table})
    expect(page.locator("#import textarea")).to_have_value("user;class_key\nJürgen;9a\n")
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_role("cell", name="would be added")).to_be_visible()
    page.get_by_role("button", name="Do it").click()
    expect(page.get_by_role("heading", name="Done")).to_be_visible()
    password = page.locator("tbody tr td").nth(3).inner_text()
    open_page("/", user=("Jürgen", password), at=school.url)


@pytest.mark.slow
def test_everything_works_without_a_script(school: Service, open_page: Open) -> None:
    page = open_page("/class", user=TINA, at=school.url, java_script_enabled=False)
    page.get_by_label("Name", exact=True).fill("carol")
    page.get_by_role("button", name="Add", exact=True).click()
    password = page.locator(".secret").inner_text()
    open_page("/", user=("carol", password), at=school.url)
    expect(page.get_by_role("button", name="Copy")).to_be_hidden()
    page.get_by_label("Name", exact=True).fill("carol")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("carol")
