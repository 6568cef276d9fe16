"""A sandbox for crashes: a database, a folder of images, a ledger of charges, and the responses to its client."""

import hashlib
import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixyproxy.adapters.argon2.password_hasher import Argon2PasswordHasher
from pixyproxy.adapters.filesystem.blob_maintenance import FilesystemBlobMaintenance
from pixyproxy.adapters.filesystem.blob_store import FilesystemBlobStore
from pixyproxy.adapters.filesystem.thumbnail_store import FilesystemThumbnailStore
from pixyproxy.application.generation import submission
from pixyproxy.application.maintenance.sweeping import sweep
from pixyproxy.containers import Container, build_container
from pixyproxy.domain.generation import GeneratedImage, GenerationRequest, GeneratorModel, PartialImage
from pixyproxy.environment import load_settings
from pixyproxy.opening import opened
from pixyproxy.plugins import BlobStorage
from pixyproxy.ports.image_generator import ImageGenerator
from tests.faults.charged import CAP
from tests.faults.crash_points.steps import SteppedCalls, Steps, watch_commits
from tests.fixtures.openai.pictures import picture
from tests.fixtures.prices import FixedPriceList
from tests.fixtures.sql.mysql_servers import MySQLSettings

LEASE_S = 0.02
_SHARDS = 64
"""Shards that are swept, instead of all 256, whose sweeps took most of the time of a run."""
SUBJECT, BYSTANDER = "the subject", "a bystander"


class LedgerGenerator(ImageGenerator):
    """A generator that writes each charge to a ledger before it returns."""

    def __init__(self, ledger: Path, steps: Steps) -> None:
        self._ledger = ledger
        self._steps = steps

    @property
    def name(self) -> str:
        return "ledger"

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    @property
    def can_edit(self) -> bool:
        return False

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[PartialImage | GeneratedImage, None]:
        with self._steps.step("charge"):
            append(self._ledger, request.prompt)
        yield GeneratedImage(picture(request.prompt), model="ledger-1", usage={"total_tokens": 3})

    async def models(self) -> tuple[GeneratorModel, ...]:
        return (GeneratorModel("ledger-1", is_default=True),)

    async def check(self) -> str:
        return "ledger"


@dataclass(frozen=True)
class Row:
    """A row of `images` as the database has it."""

    guid: str
    status: str
    prompt: str
    filename: str
    size_bytes: int | None
    sha256: str | None
    error_code: str | None


class Sandbox:
    """Everything that outlives a process; without `mysql` the database is an SQLite file."""

    def __init__(self, folder: Path, mysql: MySQLSettings | None) -> None:
        self.folder = folder
        self.mysql = mysql
        self.images = folder / "images"
        self.rescue = folder / "data" / "rescue"
        self.ledger = folder / "ledger"
        self._responses = folder / "responses"
        self._processes = folder / "processes"

    def begin(self, template: Path | None) -> None:
        """Make an empty sandbox; `template` is an SQLite file with empty tables."""
        for name in ("data", "tmp"):
            (self.folder / name).mkdir(parents=True)
        for file in (self.ledger, self._responses, self._processes):
            file.touch()
        if self.mysql is not None:
            for table in ("images", "charges", "budgets", "budget_accounts", "daily_sums", "highest_costs"):
                self.mysql.query(f"DELETE FROM {table}")
            self.mysql.query(CAP)
        elif template is not None:
            shutil.copy(template, self.folder / "data" / "pixyproxy.sqlite3")
            self.query(CAP)

    def enter(self) -> None:
        """Run this process in the sandbox, with its settings in the environment.

        GUIDs are numbered, each in folders of its own, so that every run takes the same steps.
        """
        append(self._processes, str(os.getpid()))
        numbers = iter(range(16 * len(self._processes.read_text().splitlines()), _SHARDS))
        submission.new_guid = lambda: "{0:02x}{0:02x}0000-0000-4000-8000-{0:012x}".format(next(numbers))
        sweep.SHARDS = sweep.SHARDS[:_SHARDS]
        # The roster plays no part here, and the hash that the hasher makes at its start takes longer than all the rest.
        Argon2PasswordHasher.open = _open_nothing
        os.chdir(self.folder)
        tempfile.tempdir = str(self.folder / "tmp")
        for name in [name for name in os.environ if name.startswith(("PIXYPROXY_", "DB_", "OPENAI_"))]:
            del os.environ[name]
        os.environ |= {
            "PIXYPROXY_DATA_DIR": str(self.folder / "data"),
            "PIXYPROXY_IMAGES_DIR": str(self.images),
            "PIXYPROXY_LEASE_S": str(LEASE_S),
            "PIXYPROXY_REPOSITORY": "sqlite" if self.mysql is None else "mysql",
            "NO_COLOR": "1",
            "COLUMNS": "200",
        } | ({} if self.mysql is None else self.mysql.environment())

    @asynccontextmanager
    async def service(self, steps: Steps) -> AsyncIterator[Container]:
        """Yield the real container, opened: only generator and hasher are fakes, and steps are observed."""
        container = build_container(load_settings())
        container.generator.override(LedgerGenerator(self.ledger, steps))
        container.price_list.override(FixedPriceList("0.25", "0.04"))
        settings, calls = container.settings(), SteppedCalls(steps)
        rescue_dirs = container.config.rescue_dirs()
        container.blob_storage.override(
            BlobStorage(
                FilesystemBlobStore(settings.images_dir, rescue_dirs=rescue_dirs, calls=calls),
                FilesystemBlobMaintenance(settings.images_dir, rescue_dirs=rescue_dirs, calls=calls),
                FilesystemThumbnailStore(settings.images_dir, calls=calls),
            )
        )
        watch_commits(container.sqlite_database() if self.mysql is None else container.mysql_database(), steps)
        async with opened(container):
            yield container

    # Responses to the client

    def record(self, **fact: Any) -> None:
        """Record a response to the client."""
        append(self._responses, json.dumps(fact))

    def responses(self) -> list[dict[str, Any]]:
        """Return all responses to the client, in order."""
        return [json.loads(line) for line in self._responses.read_text().splitlines()]

    # Observations without the code of the service

    def charges(self, prompt: str) -> int:
        return self.ledger.read_text().splitlines().count(prompt)

    def rows(self) -> dict[str, Row]:
        """Return all rows by GUID."""
        found = self.query("SELECT guid, status, prompt, filename, size_bytes, sha256, error_code FROM images")
        return {row[0]: Row(*row) for row in found}

    def query(self, sql: str) -> Sequence[Sequence[Any]]:
        """Run one statement and return its rows."""
        if self.mysql is not None:
            return self.mysql.query(sql)
        with closing(sqlite3.connect(self.folder / "data" / "pixyproxy.sqlite3")) as connection, connection:
            return connection.execute(sql).fetchall()

    def files(self) -> dict[str, bytes]:
        """Return all files that are not in quarantine, in the store and in the rescue folders."""
        found = {}
        for place in (self.images, self.rescue, self.folder / "tmp"):
            for path in place.rglob("*"):
                name = path.relative_to(self.folder)
                if path.is_file() and name.parts[:2] != ("images", "quarantine"):
                    found[str(name)] = path.read_bytes()
        return found

    def quarantined(self) -> set[bytes]:
        """Return the contents of all files in quarantine."""
        return {path.read_bytes() for path in (self.images / "quarantine").glob("*")}


async def _open_nothing(hasher: Argon2PasswordHasher) -> None:
    pass


def file_of(guid: str, suffix: str) -> str:
    return f"images/{guid[:2]}/{guid[2:4]}/{guid}{suffix}"


def sha256_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def append(path: Path, line: str) -> None:
    """Add a line that outlives the process as soon as this returns."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(fd, line.encode() + b"\n")
    finally:
        os.close(fd)
