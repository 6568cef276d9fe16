"""Port to prices: what calls of a generator cost."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pixyproxy.domain.money.costs import Cost
from pixyproxy.domain.money.prices import Price, PricedRequest


class PriceList(ABC):
    """Prices of models in US dollars, in whole micro-dollars. Asking costs nothing and reaches no network."""

    @abstractmethod
    async def price_of(self, request: PricedRequest, at: datetime) -> Price:
        """Return the price of a request before a call at this time; `unpriced` if none is known, never 0.

        The highest price is in proportion to `request.n`, not below the cost of a call for this request as far as
        the provider publishes its figures, and that of the dearest choice where size or quality are `auto` or
        missing. The typical price is not above it.
        """

    @abstractmethod
    async def cost_of(
        self,
        request: PricedRequest,
        at: datetime,
        usage: Mapping[str, Any] | None,
        reported: Mapping[str, Any] | None = None,
    ) -> Cost:
        """Return the cost of a call at this time that made `request.n` pictures.

        `usage` is that of the whole call, as the upstream reports it. `reported` holds the options that were used,
        such as `size` and `quality`, and goes before those of the request. `estimated` at the highest price if the
        usage is missing or malformed; `unpriced` if no price is known, never 0.
        """
