"""`python -m benchmarks.page`: the gallery on a slow phone line: its bytes, its first picture, and 10,000 of them."""

import argparse
import shutil
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, CDPSession, Page, sync_playwright
from rich.console import Console
from rich.table import Table

from benchmarks.services import service
from tests.fixtures.scrolling import Scrolled, prepare, scroll_to_end
from tests.fixtures.sql.many_images import fill_sqlite, rows

TILES = 50
MANY = 11_700
"""Images of which 10,000 are for everybody."""
_FAST_4G = {
    "offline": False,
    "latency": 60 * 2.75,
    "downloadThroughput": 9e6 / 8 * 0.9,
    "uploadThroughput": 1.5e6 / 8 * 0.9,
}
"""The preset of Chromium's developer tools: milliseconds, and bytes per second."""
_CPU_SLOWDOWN = 4
_SCREENS: dict[str, dict[str, Any]] = {
    "phone, 390×844 at 3": {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 3, "is_mobile": True},
    "desktop, 1280×720": {"viewport": {"width": 1280, "height": 720}},
}
_FIRST_PICTURE = """
window.firstPicture = new Promise((resolve) => {
  const look = () => {
    const pictures = [...document.querySelectorAll("#results .tile img[srcset]")];
    const isThere = pictures.some((picture) => picture.complete && picture.naturalWidth > 0);
    requestAnimationFrame(isThere ? () => resolve(performance.now()) : look);
  };
  look();
});
"""
_REQUESTS = """() => {
  const [page] = performance.getEntriesByType("navigation");
  return [page, ...performance.getEntriesByType("resource")].map((entry) => ({
    name: entry.name, begin: entry.startTime, end: entry === page ? entry.responseStart : entry.responseEnd,
    bytes: entry.encodedBodySize,
  }));
}"""


@dataclass(frozen=True, slots=True)
class Load:
    """One load of the page: milliseconds to its first picture, round trips until then, and bytes by kind."""

    first_picture_ms: float
    round_trips: int
    html: int
    files: int


def main() -> None:
    """Measure and print. The exit status does not depend on the aims, which are for the reader to judge."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description="The gallery on a slow line.")
    parser.add_argument("--rounds", type=int, default=5, help="loads for each screen")
    rounds = parser.parse_args().rounds
    binary = shutil.which("chromium")
    if binary is None:
        parser.exit(2, "Chromium is not installed.\n")
    table = Table(title=f"The gallery with {TILES} tiles, Fast 4G, processor slowed {_CPU_SLOWDOWN} times")
    for heading in ("", "measured", "aim"):
        table.add_column(heading, justify="right" if heading else "left")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary, args=["--no-sandbox"])
        with _small_gallery() as url:
            for screen, options in _SCREENS.items():
                _load(browser, url, options, is_slow=False)  # makes the thumbnails
                loads = [_load(browser, url, options) for _ in range(rounds)]
                times = sorted(load.first_picture_ms for load in loads)
                spread = f"{statistics.median(times):,.0f} ({times[0]:,.0f} to {times[-1]:,.0f})"
                table.add_row(f"first picture, ms: {screen}", spread, "≤ 1,000")
                table.add_row(f"round trips until then: {screen}", str(max(load.round_trips for load in loads)), "≤ 3")
            table.add_row("HTML, compressed, kB", f"{loads[0].html / 1000:.1f}", "")
            table.add_row("CSS and modules, compressed, kB", f"{loads[0].files / 1000:.1f}", "")
            table.add_row("together", f"{(loads[0].html + loads[0].files) / 1000:.1f}", "≤ 80")
        with _large_gallery() as url:
            scrolled = _scroll(browser, url)
        pictures = scrolled.samples[-1][0] * TILES
        (_, nodes, memory), (_, last_nodes, last_memory) = scrolled.samples[0], scrolled.samples[-1]
        table.add_row(f"nodes after {pictures:,} pictures, to 2,000", f"{last_nodes / nodes:.2f}", "≤ 1.2")
        table.add_row("memory of scripts, likewise", f"{last_memory / memory:.2f}", "≤ 1.2")
        long = [task for task in scrolled.long_tasks if task > 100]
        table.add_row("tasks above 100 ms meanwhile", str(len(long)), "0")
        table.add_row("longest task, ms", f"{max(scrolled.long_tasks, default=0):.0f}", "")
        browser.close()
    Console(width=120).print(table)


@contextmanager
def _small_gallery() -> Iterator[str]:
    """Yield the address of a service with as many pictures as a page shows."""
    with tempfile.TemporaryDirectory(prefix="pixyproxy-bench-") as name, _service(Path(name)) as url:
        with httpx.Client(base_url=url, timeout=60) as client:
            for number in range(TILES):
                body = {"prompt": f"lighthouse number {number} above a winter sea", "size": "1024x1024"}
                client.post("/image", json=body).raise_for_status()
        yield url


@contextmanager
def _large_gallery() -> Iterator[str]:
    """Yield the address of a service with 10,000 pictures without bytes."""
    with tempfile.TemporaryDirectory(prefix="pixyproxy-bench-") as name, _service(Path(name)) as url:
        fill_sqlite(Path(name) / "data" / "pixyproxy.sqlite3", rows(1, MANY))
        yield url


@contextmanager
def _service(home: Path) -> Iterator[str]:
    folders = {"PIXYPROXY_DATA_DIR": str(home / "data"), "PIXYPROXY_IMAGES_DIR": str(home / "images")}
    with service(home, **folders) as url:
        yield url


def _load(browser: Browser, url: str, options: dict[str, Any], *, is_slow: bool = True) -> Load:
    """Open the gallery without a cache."""
    context = browser.new_context(**options)
    page = context.new_page()
    session = context.new_cdp_session(page)
    page.add_init_script(_FIRST_PICTURE)
    if is_slow:
        _slow_down(session)
    page.goto(url, wait_until="commit", timeout=60_000)
    first: float = page.evaluate("window.firstPicture")
    page.wait_for_load_state("networkidle")
    requests = page.evaluate(_REQUESTS)
    context.close()
    files = sum(one["bytes"] for one in requests if "/static/" in one["name"])
    return Load(first, _round_trips(requests, first), requests[0]["bytes"], files)


def _slow_down(session: CDPSession) -> None:
    session.send("Network.enable")
    session.send("Network.emulateNetworkConditions", _FAST_4G)
    session.send("Emulation.setCPUThrottlingRate", {"rate": _CPU_SLOWDOWN})


def _round_trips(requests: list[dict[str, Any]], until: float) -> int:
    """Return the length of the longest chain of requests that follow each other until a time.

    Modules hold up no picture.
    """
    done: list[tuple[float, int]] = []
    for one in sorted(requests, key=lambda one: float(one["begin"])):
        if one["end"] <= until and not one["name"].endswith(".js"):
            done.append((one["end"], 1 + max((depth for end, depth in done if end <= one["begin"]), default=0)))
    return max(depth for _, depth in done)


def _scroll(browser: Browser, url: str) -> Scrolled:
    page: Page = browser.new_context().new_page()
    session = prepare(page)
    session.send("Network.enable")
    session.send("Network.setBlockedURLs", {"urls": ["*/thumbnail*"]})
    page.goto(url)
    scrolled = scroll_to_end(page, session, 40)
    page.context.close()
    return scrolled


if __name__ == "__main__":
    main()
