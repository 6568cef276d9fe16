"""The state of the service as its page shows it to administrators."""

from typing import Any

from pixyproxy.application.maintenance.readiness import Readiness
from pixyproxy.application.money.usage_service import UsageService
from pixyproxy.application.observation.surveyor import Surveyor
from pixyproxy.application.queue.turns import Turns
from pixyproxy.domain.image import Image
from pixyproxy.domain.money.daily_sums import Tally
from pixyproxy.domain.user import User
from pixyproxy.entrypoints.http.pages.spending import present_sum
from pixyproxy.entrypoints.http.pages.texts import cost_text, usd_text
from pixyproxy.ports.clock import Clock

_PARTS = {"database": "Database", "blob_store": "Store of pictures", "generator": "Generator"}

_UNCERTAIN = 20


class ServicePage:
    """Collects what administrators see of the service."""

    def __init__(
        self, readiness: Readiness, surveyor: Surveyor, turns: Turns, usage: UsageService, clock: Clock
    ) -> None:
        self._readiness = readiness
        self._surveyor = surveyor
        self._turns = turns
        self._usage = usage
        self._clock = clock

    async def values(self, user: User) -> dict[str, Any]:
        """Return what the template shows: the parts, the queue, what is uncertain, and this month by classes."""
        states = await self._readiness.check()
        survey = await self._surveyor.survey()
        today = self._clock.now().date()
        days = {"from": today.replace(day=1).isoformat(), "to": today.isoformat()}
        report = await self._usage.usage(user, {"by": "class", **days})
        total = Tally()
        for row in report.rows:
            total = total.plus(row.tally)
        return {
            "parts": [(_PARTS.get(name, name), state) for name, state in states.items()],
            "waiting": survey.queued,
            "running": self._turns.running,
            "unknown": survey.unknown,
            "uncertain": [_present_uncertain(image) for image in await self._surveyor.uncertain(_UNCERTAIN)],
            "possibly": None if survey.possibly_billed_usd is None else usd_text(survey.possibly_billed_usd),
            "month": present_sum("This month", total),
            "classes": [(row.key, {"count": row.tally.pictures, **present_sum("", row.tally)}) for row in report.rows],
        }


def _present_uncertain(image: Image) -> dict[str, str]:
    """Return what finds a picture on the bill; its prompt may be private."""
    return {
        "guid": image.guid,
        "created": f"{image.request.created_at:%-d %b %Y, %H:%M} UTC",
        "author": image.request.author or "",
        "model": image.request.model or "",
        "cost": cost_text(image.cost),
    }
