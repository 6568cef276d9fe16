"""A fake upstream, a database and services for the tests of one fault each."""

import hashlib
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.faults.databases import Database, database
from tests.fixtures.openai.upstream import FakeUpstream
from tests.fixtures.service import Service

PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Deployment:
    """An upstream, a database and a folder; `values` are the settings of the services that use them."""

    folder: Path
    upstream: FakeUpstream
    database: Database
    values: dict[str, str]

    def service(self, kind: type[Service] = Service, **values: str) -> Service:
        """Return one more service on the same database and folder, not started yet."""
        return kind(self.folder, **self.values | values)

    def wait_for_generations(self, count: int) -> None:
        """Wait until this many generations have reached the upstream; requests for models do not count."""
        wait_until(lambda: len(self.upstream.generations) >= count, f"{count} generations have reached the upstream")

    def charges(self) -> Counter[str]:
        """Count the charges of each prompt."""
        return Counter(record.json["prompt"] for record in self.upstream.charges)

    def statuses(self) -> dict[str, list[str]]:
        """Return the statuses of all rows of each prompt, read from the database."""
        found: defaultdict[str, list[str]] = defaultdict(list)
        for prompt, status in self.database.query("SELECT prompt, status FROM images ORDER BY id"):
            found[prompt].append(status)
        return dict(found)


@contextmanager
def new_deployment(folder: Path, name: str, **values: str) -> Iterator[Deployment]:
    """Yield a deployment on a database of this kind."""
    with database(name, folder) as kind, FakeUpstream() as upstream:
        yield deployment_of(folder, upstream, kind, **values)


def deployment_of(folder: Path, upstream: FakeUpstream, kind: Database, **values: str) -> Deployment:
    """Return a deployment of these parts; its services let anonymous callers write, and leases last a second."""
    (folder / "tmp").mkdir()
    settings = {
        "PIXYPROXY_GENERATOR": "openai",
        "PIXYPROXY_LEASE_S": "1",
        "PIXYPROXY_ANONYMOUS": "write",
        "OPENAI_API_KEY": "sk-of-the-fake",
        "OPENAI_BASE_URL": upstream.base_url,
        # Earlier versions rescued pictures into the folder for temporary files: this deployment needs its own.
        "TMPDIR": str(folder / "tmp"),
    }
    return Deployment(folder, upstream, kind, kind.values | settings | values)


def wait_until(what: Callable[[], object], words: str) -> None:
    """Wait until the condition holds, and fail if it never does."""
    end = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < end, f"waited in vain until {words}"
        time.sleep(0.02)


def create(client: httpx.Client, prompt: str, key: str | None = None, **headers: str) -> httpx.Response:
    """Request a picture."""
    given = headers if key is None else {"Idempotency-Key": key, **headers}
    return client.post("/image", json={"prompt": prompt}, headers=given)


def content_hash(client: httpx.Client, image: dict[str, Any]) -> str:
    """Return the sha256 of the bytes that an image is delivered with."""
    answer = client.get(image["content_url"])
    assert answer.status_code == 200, answer.text
    return hashlib.sha256(answer.content).hexdigest()
