"""A process does not treat its own generation as interrupted after a database outage."""

import asyncio
from datetime import datetime
from pathlib import Path

from pixyproxy.adapters.sql.repositories.maintenance_repository import SQLMaintenanceRepository
from pixyproxy.containers import build_container
from pixyproxy.domain.generation import GeneratedImage
from pixyproxy.domain.image import Status
from pixyproxy.opening import opened
from tests.fixtures.core import ScriptedGenerator
from tests.fixtures.openai.pictures import picture
from tests.fixtures.service import Service

LEASE_S = 2.0


class SlowRenewal(SQLMaintenanceRepository):
    """Repository whose lease renewals are slow, as after a restart of the database."""

    async def renew_leases(self, owner: str, until: datetime) -> int:
        await asyncio.sleep(0.2)
        return await super().renew_leases(owner, until)


async def test_expired_leases_are_renewed_before_anything_is_settled(tmp_path: Path) -> None:
    service = Service(tmp_path, PIXYPROXY_LEASE_S=str(LEASE_S))
    container = build_container(service.settings())
    generator = ScriptedGenerator()
    generator.gate = asyncio.Event()
    generator.outcome = GeneratedImage(picture("late"))
    container.generator.override(generator)
    container.maintenance_repository.override(SlowRenewal(container.sqlite_database()))
    await container.migrate(on_script=lambda _: None)
    async with opened(container):
        images = container.image_service()
        begun = (await images.create(None, {"prompt": "late"}, wait=False)).image
        await asyncio.sleep(LEASE_S + 0.1)  # no lease is renewed: the database is away
        maintenance = asyncio.create_task(container.upkeep().run())
        try:
            for _ in range(20):
                assert (await images.get(None, begun.guid)).status is Status.GENERATING
                await asyncio.sleep(LEASE_S / 20)
        finally:
            generator.gate.set()
            await container.generation_runner().drain(10)
            maintenance.cancel()
            await asyncio.wait([maintenance])
        assert (await images.get(None, begun.guid)).status is Status.READY
