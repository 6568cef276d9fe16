"""`python -m benchmarks.search_timing`: tell private images from missing ones by the time of a stranger's requests.

The AUC is the probability that a request for something private takes longer than one for something missing: 0.5 if the
time tells nothing. Both are sent in random order over one connection to a real service.
"""

import argparse
import asyncio
import base64
import http.client
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from rich.console import Console
from rich.table import Table

from benchmarks.database import NoServerError, mysql_database
from benchmarks.services import command, service
from pixyproxy.containers import build_container
from pixyproxy.domain.image import Image, ImageRequest, ImageResult, Picture, Status, Visibility, new_guid
from pixyproxy.opening import opened
from pixyproxy.settings import Settings
from tests.fixtures.sql.many_images import TAGS, WORDS, created_at

AIM = 0.05
"""The aim: an AUC of 0.5 with at most this difference."""
_IMAGES = 1_000
_STRANGER = ("bob", "a password of bob")
_WORDS = ("zanzibarite", "zanzibarote")
"""A word of all private prompts, and one of no prompt."""
_TAGS = ("zinnia garden", "zinnia gerden")


def images() -> list[Image]:
    """Return public images and as many private ones, in turns."""
    draw = random.Random(1)
    found = []
    for number in range(2 * _IMAGES):
        is_private = number % 2 == 0
        prompt = " ".join(draw.choices(WORDS[:500], k=12))
        request = ImageRequest(
            guid=new_guid(),
            filename="picture.png",
            prompt=f"{prompt} {_WORDS[0]}" if is_private else prompt,
            tags=(draw.choice(TAGS), *_TAGS[: int(is_private)]),
            author="alice" if is_private else None,
            visibility=Visibility.PRIVATE if is_private else Visibility.PUBLIC,
            generator="sketch",
            model="sketch-1",
            parameters={"size": "1024x1024"},
            created_at=created_at(number),
        )
        result = ImageResult(Picture("image/png", 1024, 1024), 1_500_000, "0" * 64, "sketch-1")
        found.append(Image(0, request, Status.READY, request.created_at, result))
    return found


def pairs(made: Sequence[Image]) -> dict[str, tuple[str, str]]:
    """Return the paths of a request for something private and of one for something missing, by what is requested."""
    private, public, missing = made[_IMAGES].guid, made[_IMAGES + 1].guid, new_guid()
    return {
        "a word": (f"/image?prompt={_WORDS[0]}", f"/image?prompt={_WORDS[1]}"),
        "a word, beginning": (f"/image?prompt={_WORDS[0][:8]}i", f"/image?prompt={_WORDS[1][:8]}o"),
        "a tag": (f"/image?tag={_TAGS[0]}".replace(" ", "+"), f"/image?tag={_TAGS[1]}".replace(" ", "+")),
        "an author": ("/image?author=alice", "/image?author=alicf"),
        "details": (f"/image/{private}", f"/image/{missing}"),
        "content": (f"/image/{private}/content", f"/image/{missing}/content"),
        "a GUID, searched": (f"/image?guid={private}", f"/image?guid={missing}"),
        "details of a public image": (f"/image/{public}", f"/image/{missing}"),
    }


_CONTROL = "details of a public image"
"""The pair that time has to tell apart, else the measurement sees nothing."""


def auc(some: Sequence[float], others: Sequence[float]) -> float:
    """Return the probability that one of the first values is above one of the others; equal ones count half."""
    ordered = sorted([(value, 1) for value in some] + [(value, 0) for value in others])
    above, below = 0.0, 0
    start = 0
    while start < len(ordered):
        end = start
        while end < len(ordered) and ordered[end][0] == ordered[start][0]:
            end += 1
        ties = sum(is_first for _, is_first in ordered[start:end])
        above += ties * (below + (end - start - ties) / 2)
        below += end - start - ties
        start = end
    return above / (len(some) * len(others))


class Client:
    """One connection of a stranger, anonymous or logged in, whose requests are timed."""

    def __init__(self, url: str, login: tuple[str, str] | None) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        token = "" if login is None else base64.b64encode(":".join(login).encode()).decode()
        self._headers = {"Authorization": f"Basic {token}"} if token else {}

    def seconds(self, path: str) -> float:
        """Return the time from the request to the end of its response."""
        start = time.perf_counter()
        self._connection.request("GET", path, headers=self._headers)
        self._connection.getresponse().read()
        return time.perf_counter() - start

    def auc(self, private: str, missing: str, samples: int) -> float:
        """Return the AUC of this many requests of each kind."""
        order = [private, missing] * samples
        random.shuffle(order)
        for path in order[:200]:
            self.seconds(path)
        times: dict[str, list[float]] = {private: [], missing: []}
        for path in order:
            times[path].append(self.seconds(path))
        return auc(times[private], times[missing])


@contextmanager
def filled_service(home: Path, made: Sequence[Image], database: str) -> Iterator[str]:
    """Run a service with these images and a stranger on its roster; yield its address."""
    with ExitStack() as stack:
        settings = {"PIXYPROXY_DATA_DIR": str(home / "data"), "PIXYPROXY_BLOB_STORE": "memory"}
        settings |= stack.enter_context(mysql_database()) if database == "mysql" else {"PIXYPROXY_REPOSITORY": "sqlite"}
        asyncio.run(_fill(Settings.model_validate(settings), made))
        command(home, "user", "add", _STRANGER[0], typed=_STRANGER[1], **settings)
        yield stack.enter_context(service(home, **settings))


async def _fill(settings: Settings, made: Sequence[Image]) -> None:
    container = build_container(settings)
    await container.migrate()
    async with opened(container):
        for start in range(0, len(made), 500):
            await container.maintenance_repository().restore_all(made[start : start + 500])


def main() -> int:
    """Measure and print; return 1 if an aim is not met."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search_timing", description=__doc__)
    parser.add_argument("--samples", type=int, default=4000, help="requests of each kind")
    parser.add_argument("--database", nargs="+", default=["sqlite", "mysql"], choices=["sqlite", "mysql"])
    arguments = parser.parse_args()
    console = Console() if sys.stdout.isatty() else Console(width=120)
    made, is_met = images(), True
    for database in arguments.database:
        table = Table(title=f"{database}: AUC of private and missing, {arguments.samples:,} requests of each")
        for heading in ("", "anonymous", "logged in", f"0.5 ± {AIM}"):
            table.add_column(heading)
        with ExitStack() as stack:
            home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pixyproxy-bench-")))
            try:
                url = stack.enter_context(filled_service(home, made, database))
            except NoServerError as error:
                console.print(f"[red]not measured:[/red] {error}")
                continue
            for what, paths in pairs(made).items():
                with console.status(f"{database}: {what}"):
                    found = [Client(url, login).auc(*paths, arguments.samples) for login in (None, _STRANGER)]
                is_met &= what == _CONTROL or _is_met(found)
                table.add_row(what, *(f"{value:.3f}" for value in found), _outcome(what, found))
        console.print(table)
    return 0 if is_met else 1


def _is_met(found: Sequence[float]) -> bool:
    return all(abs(value - 0.5) <= AIM for value in found)


def _outcome(what: str, found: Sequence[float]) -> str:
    if what == _CONTROL:
        return "for comparison"
    return "[green]met[/green]" if _is_met(found) else "[red]not met[/red]"


if __name__ == "__main__":
    sys.exit(main())
