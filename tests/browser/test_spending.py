"""The page of a user's own spending in a real browser: sums, budgets, the plot by day and its table."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Open
from tests.browser.test_access import violations
from tests.fixtures.openai.upstream import FakeUpstream
from tests.fixtures.service import Service, pixyproxy
from tests.fixtures.services import ALICE, BOB

MONTH = "2025-03"
CHOICE = {"size": "1024x1024", "quality": "low"}


@pytest.fixture(scope="module")
def spent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Yield a service in which alice has spent money in a month of the past, and has something of every state."""
    with FakeUpstream() as upstream:
        settings = {"PIXYPROXY_GENERATOR": "openai", "OPENAI_API_KEY": "sk-x", "OPENAI_BASE_URL": upstream.base_url}
        with Service(tmp_path_factory.mktemp("spent"), **settings) as service:
            service.add_user(*ALICE, class_key="9<b>a")
            service.add_user(*BOB)
            with service.client(ALICE) as client:
                for number in range(9):
                    made = client.post("/image", json={"prompt": f"a coin {number}", **CHOICE})
                    assert made.status_code == 200, made.text
                unpriced = client.post("/image", json={"prompt": "a coin", "model": "a-model-of-nobody"})
                assert unpriced.json()["cost"]["state"] == "unpriced"
                assert client.post("/image", json={"prompt": "[[400]]", **CHOICE}).status_code >= 400
                assert client.post("/image", json={"prompt": "[[garbage]]", **CHOICE}).status_code == 502
            move_charges(service)
            for arguments in (("each:9<b>a", "2", "--per", "month"), ("service", "0.02", "--per", "total")):
                assert pixyproxy(service.folder, "budget", "set", *arguments, **settings).returncode == 0
            yield service


def move_charges(service: Service) -> None:
    """Move the charges to days of a month of the past, some to each."""
    with closing(sqlite3.connect(service.folder / "data" / "pixyproxy.sqlite3")) as database:
        for row, (guid,) in enumerate(database.execute("SELECT guid FROM charges ORDER BY reserved_at").fetchall()):
            day = 1 + row * row % 29
            database.execute(
                "UPDATE charges SET reserved_at = ? || SUBSTR(reserved_at, 11) WHERE guid = ?",
                (f"{MONTH}-{day:02}", guid),
            )
        database.commit()
    assert pixyproxy(service.folder, "usage", "--rebuild", **service.values).returncode == 0


@pytest.mark.parametrize("width", [320, pytest.param(1280, marks=pytest.mark.slow)])
def test_the_page_shows_what_was_spent(spent: Service, open_page: Open, width: int) -> None:
    page = open_page(f"/spending?month={MONTH}", ALICE, spent.url, viewport={"width": width, "height": 800})
    with spent.client(ALICE) as client:
        days = client.get(
            "/usage", params={"by": "day", "from": f"{MONTH}-01", "to": f"{MONTH}-31", "user": "alice"}
        ).json()
    expect(page.locator(".sums li").nth(2)).to_contain_text("10 pictures")
    expect(page.locator(".sums li").nth(2)).to_contain_text("possibly billed")
    expect(page.locator(".sums li").nth(2)).to_contain_text("1 unpriced")
    expect(page.locator(".budgets")).to_contain_text("$0.00 left of $0.020 in all")
    assert page.locator("tbody tr").count() == len(days)
    assert page.locator(".plot g").count() == len([day for day in days if float(day["usd"]) + float(day["possibly"])])
    expect(page.locator("tfoot")).to_contain_text("10")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert violations(page) == []


@pytest.mark.slow
def test_months_and_the_file_for_a_spreadsheet_are_reached_by_keyboard(spent: Service, open_page: Open) -> None:
    page = open_page(f"/spending?month={MONTH}", ALICE, spent.url)
    page.get_by_role("link", name="Apr 2025").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="April 2025")).to_be_visible()
    expect(page.locator("main")).to_contain_text("No picture was made in this month.")
    assert violations(page) == []
    page.get_by_role("link", name="Mar 2025").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    assert download.value.suggested_filename == f"spending-{MONTH}.csv"
    lines = download.value.path().read_text(encoding="utf-8-sig").splitlines()
    assert lines[0].startswith("day,pictures,failed,unknown,unpriced")
    assert len(lines) == 1 + page.locator("tbody tr").count()


@pytest.mark.slow
def test_it_is_found_and_read_without_a_script(spent: Service, open_page: Open) -> None:
    page = open_page("/", ALICE, spent.url, java_script_enabled=False, viewport={"width": 390, "height": 800})
    page.locator(".account summary").click()
    page.locator(".menu").get_by_role("link", name="Spending").click()
    expect(page.get_by_role("heading", name="Spending", exact=True)).to_be_visible()
    page.get_by_role("link", name="look at yours").click()
    expect(page.locator(".tile")).to_have_count(1)


@pytest.mark.slow
def test_a_stranger_logs_in_first_and_another_user_sees_nothing_of_it(spent: Service, open_page: Open) -> None:
    page = open_page("/spending", at=spent.url)
    assert page.url == f"{spent.url}/login?next=%2Fspending"
    page = open_page(f"/spending?month={MONTH}", BOB, spent.url)
    expect(page.locator("main")).to_contain_text("No picture was made in this month.")
    assert "9<b>a" not in page.locator("main").inner_text()
