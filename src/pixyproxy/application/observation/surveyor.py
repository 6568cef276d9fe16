"""The survey of the database for metrics and administrators, with a bound on what it costs."""

import asyncio
import logging
import math

from pixyproxy.domain.errors import PixyProxyException
from pixyproxy.domain.image import Image, Status
from pixyproxy.domain.money.charges import ChargeState
from pixyproxy.ports.maintenance_repository import MaintenanceRepository, Totals
from pixyproxy.ports.money.ledger import Ledger
from pixyproxy.ports.observation.metrics import Survey

logger = logging.getLogger(__name__)

_FRESH_S = 5.0
"""Seconds for which a survey is given again instead of asking the database."""
_TOTALS_EVERY_S = 60.0
_TOTALS_SHARE = 100
"""The totals, which read all rows, are taken so seldom that they take a hundredth of the time."""
_TOTALS_WAIT_S = 1.0
"""Seconds that a survey waits for new totals; later ones are in the next survey."""


class Surveyor:
    """Surveys the database at most every few seconds; scrapes that arrive together share one survey."""

    def __init__(self, maintenance: MaintenanceRepository, ledger: Ledger) -> None:
        self._maintenance = maintenance
        self._ledger = ledger
        self._lock = asyncio.Lock()
        self._survey: Survey | None = None
        self._survey_until = -math.inf
        self._totals: Totals | None = None
        self._next_totals = -math.inf
        self._totals_task: asyncio.Task[None] | None = None

    async def survey(self) -> Survey:
        """Return what the database holds; without its contents while it is away."""
        async with self._lock:
            now = asyncio.get_running_loop().time()
            if self._survey is None or now >= self._survey_until:
                self._survey = await self._new_survey()
                self._survey_until = asyncio.get_running_loop().time() + _FRESH_S
            return self._survey

    async def uncertain(self, limit: int) -> tuple[Image, ...]:
        """Return the newest pictures that may have been billed and are not there; none while the database is away."""
        try:
            return await self._maintenance.uncertain(limit)
        except PixyProxyException as error:
            logger.info("the uncertain pictures cannot be listed: %s", error.message)
            return ()

    async def close(self) -> None:
        """Stop taking totals."""
        if self._totals_task is not None:
            self._totals_task.cancel()
            await asyncio.gather(self._totals_task, return_exceptions=True)

    async def _new_survey(self) -> Survey:
        try:
            queued, unknown, reserved, possibly = await asyncio.gather(
                self._maintenance.count(Status.QUEUED),
                self._maintenance.count(Status.UNKNOWN),
                self._ledger.held(ChargeState.RESERVED),
                self._ledger.held(ChargeState.POSSIBLY_BILLED),
            )
        except PixyProxyException as error:
            logger.info("the database cannot be surveyed: %s", error.message)
            return Survey(available=False)
        totals = await self._recent_totals()
        return Survey(
            available=True,
            queued=queued,
            unknown=unknown,
            reservations=reserved.charges,
            reserved_usd=reserved.usd,
            possibly_billed_usd=possibly.usd,
            images=None if totals is None else totals.images,
            stored_bytes=None if totals is None else totals.size_bytes,
        )

    async def _recent_totals(self) -> Totals | None:
        if self._totals_task is None and asyncio.get_running_loop().time() >= self._next_totals:
            self._totals_task = asyncio.create_task(self._take_totals())
        if self._totals_task is not None:
            await asyncio.wait([self._totals_task], timeout=_TOTALS_WAIT_S)
        return self._totals

    async def _take_totals(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            self._totals = await self._maintenance.totals()
        except PixyProxyException as error:
            logger.info("the stored pictures cannot be summed up: %s", error.message)
        finally:
            self._next_totals = loop.time() + max(_TOTALS_EVERY_S, _TOTALS_SHARE * (loop.time() - began))
            self._totals_task = None
