"""A thousand damaged files: `check --deep` names each, and none is delivered as whole.

The service has delivered all of them before, and has not hashed the same bytes again: it has to notice the change.
"""

import asyncio
import os
import random
import time
from collections.abc import AsyncGenerator, Callable
from itertools import cycle
from pathlib import Path

import httpx
import pytest

from pixyproxy.adapters.filesystem.blob_store import FilesystemBlobStore
from pixyproxy.adapters.filesystem.durable_files import SystemCalls
from pixyproxy.adapters.filesystem.reader import SETTLED_NS
from pixyproxy.containers import build_container
from pixyproxy.domain.generation import GeneratedImage, GenerationRequest, PartialImage
from pixyproxy.domain.image import Image
from pixyproxy.opening import opened
from tests.faults.databases import SQLiteDatabase
from tests.fixtures.core import ScriptedGenerator
from tests.fixtures.openai.pictures import picture
from tests.fixtures.service import Service, pixyproxy, problem
from tests.fixtures.sql.mysql_servers import in_thread

DAMAGED = 1000
WHOLE = 40
LARGE = 24
"""Damaged files that are delivered in pieces, at least two of each kind of damage."""
SMALL_BYTES, LARGE_BYTES = 3_000, 2_600_000

Damage = Callable[[Path, Path, random.Random], None]


def flip_a_bit(path: Path, _: Path, chance: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


def cut_off(path: Path, _: Path, chance: random.Random) -> None:
    os.truncate(path, chance.randrange(1, path.stat().st_size))


def grow(path: Path, _: Path, chance: random.Random) -> None:
    with path.open("ab") as file:
        file.write(chance.randbytes(chance.randrange(1, 5000)))


def empty(path: Path, _: Path, __: random.Random) -> None:
    os.truncate(path, 0)


def remove(path: Path, _: Path, __: random.Random) -> None:
    path.unlink()


def take_those_of_another(path: Path, another: Path, _: random.Random) -> None:
    """Replace the bytes by another valid picture of the same length."""
    data = another.read_bytes()
    assert len(data) == path.stat().st_size
    path.write_bytes(data)


KINDS: list[Damage] = [flip_a_bit, cut_off, grow, empty, remove, take_those_of_another]


class Unflushed(SystemCalls):
    """Skip flushing: the machine does not crash here, and thousands of flushes take most of a minute."""

    def fsync(self, fd: int) -> None:
        pass


class Noise(ScriptedGenerator):
    """Make different pictures, some of them large."""

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[PartialImage | GeneratedImage, None]:
        size = LARGE_BYTES if request.prompt.startswith("large") else SMALL_BYTES
        yield GeneratedImage(picture(request.prompt, "png", size))


@pytest.mark.slow
def test_every_damaged_file_is_found_and_none_is_delivered(tmp_path: Path) -> None:
    service = Service(tmp_path)
    images = in_thread(lambda: _make(service))
    with service:
        _damage_and_look(service, images, tmp_path)


def _damage_and_look(service: Service, images: list[Image], tmp_path: Path) -> None:
    chance = random.Random(20261121)
    _wait_until_settled(service, images)
    with service.client() as client:
        assert [_fetch(client, image) for image in images] == ["whole"] * len(images)
    whole, damaged = images[:WHOLE], images[WHOLE:]
    assert len(damaged) == DAMAGED
    donors = {image.result.size_bytes: _path(service, image) for image in (whole[0], whole[-1])}
    assert len(donors) == 2
    for image, damage in zip(damaged, cycle(KINDS), strict=False):
        damage(_path(service, image), donors[image.result.size_bytes], chance)
    rows = SQLiteDatabase(tmp_path).query("SELECT * FROM images ORDER BY id")

    done = pixyproxy(tmp_path, "check", "--deep")
    assert done.returncode == 1
    named = {line.split()[0] for line in done.stdout.splitlines()}
    assert named & {image.guid for image in images} == {image.guid for image in damaged}
    assert f"{DAMAGED} damaged or missing" in done.stdout
    done = pixyproxy(tmp_path, "reconcile", "--apply")
    assert done.returncode == 1

    with service.client() as client:
        outcomes = [_fetch(client, image) for image in images]
    assert outcomes == ["whole"] * WHOLE + [outcome for outcome in outcomes[WHOLE:] if outcome in {"500", "cut off"}]
    assert outcomes.count("cut off") < LARGE
    assert "cut off" in outcomes
    assert SQLiteDatabase(tmp_path).query("SELECT * FROM images ORDER BY id") == rows


async def _make(service: Service) -> list[Image]:
    container = build_container(service.settings())
    container.generator.override(Noise())
    container.blob_store.override(FilesystemBlobStore(service.images_dir, calls=Unflushed()))
    await container.migrate(on_script=lambda _: None)
    prompts = [f"large {number}" for number in range(LARGE)] + [f"small {number}" for number in range(DAMAGED - LARGE)]
    prompts = [f"whole {number}" for number in range(WHOLE - 1)] + ["large and whole", *prompts]
    async with opened(container):
        images = container.image_service()
        made: list[Image] = []
        for start in range(0, len(prompts), 20):
            some = [images.create(None, {"prompt": prompt}) for prompt in prompts[start : start + 20]]
            made += [created.image for created in await asyncio.gather(*some)]
    return made


def _wait_until_settled(service: Service, images: list[Image]) -> None:
    """Wait until no file counts as just written: such files are hashed at every delivery."""
    last = max(_path(service, image).stat().st_ctime_ns for image in images)
    while time.time_ns() - last < SETTLED_NS:
        time.sleep(0.05)


def _path(service: Service, image: Image) -> Path:
    return service.images_dir / image.guid[:2] / image.guid[2:4] / f"{image.guid}.bin"


def _fetch(client: httpx.Client, image: Image) -> str:
    """Request the bytes of an image and name the outcome."""
    try:
        answer = client.get(f"/image/{image.guid}/content")
    except httpx.RemoteProtocolError:
        return "cut off"
    if answer.status_code == 200:
        size = LARGE_BYTES if image.request.prompt.startswith("large") else SMALL_BYTES
        return "whole" if answer.content == picture(image.request.prompt, "png", size) else "WRONG BYTES"
    assert problem(answer)["code"] in {"blob-corrupt", "blob-missing"}
    return str(answer.status_code)
