"""The use case that prices a request without making anything."""

from pixyproxy.application.commands import PriceImages, validate
from pixyproxy.application.generation.edit_sources import EditSourceReader
from pixyproxy.application.generation.submission import Submitter
from pixyproxy.application.option_limits import OptionLimits
from pixyproxy.domain.access import Viewer, username_of
from pixyproxy.domain.money.prices import Price, PricedRequest
from pixyproxy.ports.clock import Clock
from pixyproxy.ports.money.price_list import PriceList


class Pricing:
    """Prices requests, which are checked as `ImageService.create` checks them."""

    def __init__(
        self,
        prices: PriceList,
        submitter: Submitter,
        sources: EditSourceReader,
        option_limits: OptionLimits,
        clock: Clock,
    ) -> None:
        self._prices = prices
        self._submitter = submitter
        self._sources = sources
        self._option_limits = option_limits
        self._clock = clock

    async def price(self, viewer: Viewer, data: object) -> Price:
        """Return the price of a request for pictures.

        Raises:
            DataValidationError, ImageNotFoundError, ImageNotReadyError, EditingUnsupportedError: as for a picture.
        """
        command = validate(PriceImages, data)
        self._option_limits.check(command.options)
        pictures = await self._sources.find(viewer, command.edit_of or ()) + command.uploads
        self._submitter.check(username_of(viewer), command.visibility, edits=bool(pictures))
        request = PricedRequest(command.model, command.prompt, command.options, command.n or 1, pictures)
        return await self._prices.price_of(request, self._clock.now())
