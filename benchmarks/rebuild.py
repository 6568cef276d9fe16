"""`python -m benchmarks.rebuild`: rebuild a database from sidecars one by one, and in batches, and print the ratio."""

import argparse
import asyncio
import hashlib
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console

from benchmarks.compare import Report, Row
from benchmarks.database import NoServerError, mysql_database
from benchmarks.report import table
from pixyproxy.adapters.filesystem.writer import encode_sidecar
from pixyproxy.application.generation.sidecar import sidecar_of
from pixyproxy.application.maintenance.rebuilder import BATCH, Rebuilder
from pixyproxy.containers import Container, build_container
from pixyproxy.domain.image import Image, ImageRequest, ImageResult, Picture, Status, Visibility, new_guid
from pixyproxy.opening import opened
from pixyproxy.settings import Settings

AIM = 10
"""The aim: so many times as many images per second as one by one."""
_BYTES = b"a small picture"
_NOW = datetime(2026, 11, 21, tzinfo=UTC)
_WORDS = "a rubber duck on the edge of a white sink in morning light, soft shadows, photograph, study"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rebuild", description="Rebuild from sidecars.")
    parser.add_argument("--images", type=int, default=20_000, help="number of sidecars; one by one, a tenth is read")
    parser.add_argument("--database", nargs="+", default=["sqlite", "mysql"], choices=["sqlite", "mysql"])
    arguments = parser.parse_args()
    console = Console(width=120)
    rows = []
    with tempfile.TemporaryDirectory(prefix="pixyproxy-bench-") as name:
        folder = Path(name)
        with console.status(f"writing {arguments.images:,} sidecars"):
            _write(folder / "images", arguments.images)
        for database in arguments.database:
            try:
                with console.status(f"rebuilding on {database}"):
                    single = _rate(folder, database, 1, arguments.images // 10)
                    rate = _rate(folder, database, BATCH, arguments.images)
            except NoServerError as error:
                console.print(f"[red]not measured:[/red] {error}")
                continue
            rows.append(Row(f"rebuild on {database}", rate, single, rate / single, at_least=AIM))
    console.print(table(Report("Rebuild", "images per second", "one by one", rows)))


def _write(images: Path, count: int) -> None:
    """Write pictures and sidecars as the filesystem store does, without flushing each."""
    sha256 = hashlib.sha256(_BYTES).hexdigest()
    for number in range(count):
        guid = new_guid()
        request = ImageRequest(
            guid=guid,
            filename=f"a-rubber-duck-{number}.png",
            prompt=f"{_WORDS} {number}",
            tags=("duck", "bath"),
            author="alice",
            visibility=Visibility.PUBLIC,
            generator="openai",
            model="gpt-image-2",
            parameters={"size": "1024x1024", "quality": "low"},
            created_at=_NOW + timedelta(seconds=number),
        )
        result = ImageResult(Picture("image/png", 1024, 1024), len(_BYTES), sha256, "gpt-image-2")
        sidecar = sidecar_of(Image(0, request, Status.READY, request.created_at, result))
        shard = images / guid[:2] / guid[2:4]
        shard.mkdir(parents=True, exist_ok=True)
        (shard / f"{guid}.json").write_bytes(encode_sidecar(sidecar))
        (shard / f"{guid}.bin").write_bytes(_BYTES)


def _rate(folder: Path, database: str, batch: int, count: int) -> float:
    """Return the images per second, with finding them, of a rebuild of an empty database that ends after `count`."""
    with ExitStack() as stack:
        data = stack.enter_context(tempfile.TemporaryDirectory(prefix="pixyproxy-bench-"))
        values = {"PIXYPROXY_DATA_DIR": data, "PIXYPROXY_IMAGES_DIR": str(folder / "images")}
        values |= stack.enter_context(mysql_database()) if database == "mysql" else {"PIXYPROXY_REPOSITORY": "sqlite"}
        return asyncio.run(_rebuild(build_container(Settings.model_validate(values)), batch, count))


async def _rebuild(container: Container, batch: int, count: int) -> float:
    await container.migrate()
    async with opened(container):
        rebuilder = Rebuilder(container.maintenance_repository(), container.blob_maintenance(), batch=batch)
        begun = time.perf_counter()
        guids = await rebuilder.find()
        finding = time.perf_counter() - begun
        begun = time.perf_counter()
        async for rebuilt in rebuilder.rebuild(guids[:count]):
            if rebuilt.outcome != "restored":
                raise RuntimeError(rebuilt.outcome)
        return count / (time.perf_counter() - begun + finding * count / len(guids))


if __name__ == "__main__":
    main()
