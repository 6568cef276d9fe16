"""A sidecar without bytes, left by a process that died in between, goes to quarantine."""

import os
import time
from pathlib import Path

import pytest

from pixyproxy.containers import build_container
from pixyproxy.domain.generation import GeneratedImage
from pixyproxy.domain.image import Status
from pixyproxy.opening import opened
from tests.faults.databases import SQLiteDatabase
from tests.fixtures.core import ScriptedGenerator
from tests.fixtures.openai.pictures import picture
from tests.fixtures.service import Service

INTERRUPTED = "UPDATE images SET status = 'generating', sha256 = NULL, size_bytes = NULL, lease_expires_at = NULL"


@pytest.mark.parametrize("applied_at_first", [True, False])
async def test_a_sidecar_without_bytes_goes_to_quarantine(tmp_path: Path, applied_at_first: bool) -> None:
    service = Service(tmp_path, PIXYPROXY_LEASE_S="1")
    container = build_container(service.settings())
    generator = ScriptedGenerator()
    generator.outcome = GeneratedImage(picture("torn"))
    container.generator.override(generator)
    await container.migrate(on_script=lambda _: None)
    async with opened(container):
        images, reconciler = container.image_service(), container.reconciler()
        torn = (await images.create(None, {"prompt": "torn"})).image
        sidecar = service.images_dir / torn.guid[:2] / torn.guid[2:4] / f"{torn.guid}.json"
        sidecar.with_suffix(".bin").unlink()
        SQLiteDatabase(tmp_path).query(INTERRUPTED)
        generator.outcome = GeneratedImage(picture("whole"))
        whole = (await images.create(None, {"prompt": "whole"})).image
        assert [finding.guid async for finding in reconciler.interrupted(apply=True)] == [torn.guid]
        assert (await images.get(None, torn.guid)).status is Status.UNKNOWN

        assert [
            finding async for finding in reconciler.sweep(apply=applied_at_first)
        ] == []  # it may still be being written
        long_ago = time.time() - 60
        os.utime(sidecar, (long_ago, long_ago))
        for apply in (False, True):
            (finding,) = [finding async for finding in reconciler.sweep(apply=apply)]
            assert (finding.guid, finding.action) == (torn.guid, "quarantine")
        assert [finding async for finding in reconciler.sweep(apply=True)] == []
        assert not sidecar.exists()
        assert [path.name for path in (service.images_dir / "quarantine").iterdir()] == [f"{torn.guid}.1.json"]
        assert (await images.get(None, torn.guid)).status is Status.UNKNOWN
        assert (await images.get(None, whole.guid)).status is Status.READY
