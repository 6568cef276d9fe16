"""The survey of the database: shared, cached, and without contents while the database is away."""

import asyncio
from collections.abc import AsyncIterator, Callable
from decimal import Decimal

import pytest

from pixyproxy.adapters.memory.image_repository import MemoryImageRepository
from pixyproxy.adapters.memory.ledger import MemoryLedger
from pixyproxy.adapters.memory.maintenance_repository import MemoryMaintenanceRepository
from pixyproxy.adapters.memory.storage import MemoryStorage
from pixyproxy.application.observation import surveyor as module
from pixyproxy.application.observation.surveyor import Surveyor
from pixyproxy.domain.errors import DBConnectionError
from pixyproxy.domain.generation import ImageDraft
from pixyproxy.domain.image import Failure, Image, Status
from pixyproxy.domain.money.charges import Reservation
from pixyproxy.ports.maintenance_repository import Totals
from pixyproxy.ports.observation.metrics import Survey
from tests.fixtures.images import NOW, alter, make_draft, make_result

Advance = Callable[[float], None]


class Maintenance(MemoryMaintenanceRepository):
    """A repository that counts surveys, may be away, and may take long for the totals."""

    def __init__(self, storage: MemoryStorage) -> None:
        super().__init__(storage)
        self.surveys = self.sums = 0
        self.away = False
        self.summing = asyncio.Event()
        self.summing.set()

    async def count(self, status: Status) -> int:
        self.surveys += status is Status.UNKNOWN
        if self.away:
            raise DBConnectionError("The database cannot be reached.")
        return await super().count(status)

    async def uncertain(self, limit: int) -> tuple[Image, ...]:
        if self.away:
            raise DBConnectionError("The database cannot be reached.")
        return await super().uncertain(limit)

    async def totals(self) -> Totals:
        self.sums += 1
        await self.summing.wait()
        if self.away:
            raise DBConnectionError("The database cannot be reached.")
        return await super().totals()


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage()


@pytest.fixture
def maintenance(storage: MemoryStorage) -> Maintenance:
    return Maintenance(storage)


@pytest.fixture
async def surveyor(storage: MemoryStorage, maintenance: Maintenance) -> AsyncIterator[Surveyor]:
    made = Surveyor(maintenance, MemoryLedger(storage))
    yield made
    await made.close()


@pytest.fixture
async def advance(monkeypatch: pytest.MonkeyPatch) -> Advance:
    loop, passed = asyncio.get_running_loop(), 0.0
    now = loop.time

    def advance(seconds: float) -> None:
        nonlocal passed
        passed += seconds

    monkeypatch.setattr(loop, "time", lambda: now() + passed)
    return advance


def draft_of(usd: str) -> ImageDraft:
    return alter(make_draft(), reservation=Reservation(Decimal(usd), "test"))


async def test_a_survey_holds_what_the_database_does(storage: MemoryStorage, surveyor: Surveyor) -> None:
    images = MemoryImageRepository(storage)
    await images.add(draft_of("0.25"))
    unknown = await images.add(draft_of("0.5"))
    await images.mark_failed(unknown.guid, Status.UNKNOWN, Failure("x", "y"), NOW)
    ready = await images.add(draft_of("1"))
    await images.mark_ready(ready.guid, make_result(size_bytes=1000), NOW)
    assert await surveyor.survey() == Survey(
        available=True,
        queued=0,
        unknown=1,
        reservations=1,
        reserved_usd=Decimal("0.25"),
        possibly_billed_usd=Decimal("0.5"),
        images=1,
        stored_bytes=1000,
    )


async def test_uncertain_pictures_are_listed_while_the_database_is_there(
    storage: MemoryStorage, maintenance: Maintenance, surveyor: Surveyor
) -> None:
    images = MemoryImageRepository(storage)
    unknown = await images.add(draft_of("0.5"))
    await images.mark_failed(unknown.guid, Status.UNKNOWN, Failure("x", "y"), NOW)
    assert [image.guid for image in await surveyor.uncertain(5)] == [unknown.guid]
    maintenance.away = True
    assert await surveyor.uncertain(5) == ()


async def test_scrapes_share_a_survey_for_some_seconds(
    maintenance: Maintenance, surveyor: Surveyor, advance: Advance
) -> None:
    await asyncio.gather(*(surveyor.survey() for _ in range(5)))
    assert maintenance.surveys == 1
    advance(6)
    await surveyor.survey()
    assert maintenance.surveys == 2


async def test_totals_are_taken_seldom(maintenance: Maintenance, surveyor: Surveyor, advance: Advance) -> None:
    await surveyor.survey()
    advance(50)
    await surveyor.survey()
    assert (maintenance.surveys, maintenance.sums) == (2, 1)
    advance(50)
    await surveyor.survey()
    assert maintenance.sums == 2


async def test_totals_that_take_long_are_in_a_later_survey_and_taken_seldomer(
    maintenance: Maintenance, surveyor: Surveyor, advance: Advance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TOTALS_WAIT_S", 0)
    maintenance.summing.clear()
    assert (await surveyor.survey()).images is None
    advance(30)
    maintenance.summing.set()
    monkeypatch.setattr(module, "_TOTALS_WAIT_S", 60)
    assert (await surveyor.survey()).images == 0
    advance(29 * 100)
    await surveyor.survey()
    assert maintenance.sums == 1
    advance(200)
    await surveyor.survey()
    assert maintenance.sums == 2


async def test_a_survey_without_the_database_says_so(
    maintenance: Maintenance, surveyor: Surveyor, advance: Advance
) -> None:
    maintenance.away = True
    assert await surveyor.survey() == Survey(available=False)
    maintenance.away = False
    advance(6)
    assert (await surveyor.survey()).available


async def test_totals_that_fail_are_left_out(
    maintenance: Maintenance, surveyor: Surveyor, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost() -> Totals:
        raise DBConnectionError("The database cannot be reached.")

    monkeypatch.setattr(maintenance, "totals", lost)
    survey = await surveyor.survey()
    assert (survey.available, survey.images) == (True, None)


async def test_closing_stops_the_totals(
    maintenance: Maintenance, surveyor: Surveyor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TOTALS_WAIT_S", 0)
    maintenance.summing.clear()
    await surveyor.survey()
    await surveyor.close()
    assert len(asyncio.all_tasks()) == 1
