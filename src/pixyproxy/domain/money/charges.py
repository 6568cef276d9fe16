"""The charge: what one picture was reserved at and what it cost, kept after the picture and its author are gone."""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from pixyproxy.domain.errors import ConstraintViolationError, ImageNotFoundError
from pixyproxy.domain.image import Failure, Image, ImageResult, Status
from pixyproxy.domain.money.costs import Cost, CostState
from pixyproxy.domain.usage import tokens_of

ZERO = Decimal(0)
UNBILLED = Failure("generator-failed", "No picture was made, and a person has found that nothing was billed.")
"""The failure of an image that was `unknown` and settled as not billed."""


class ChargeState(StrEnum):
    """The state of a charge: held, freed, or that of its cost."""

    RESERVED = "reserved"
    RELEASED = "released"
    """The generation failed and was certainly not billed."""
    PRICED = "priced"
    ESTIMATED = "estimated"
    UNPRICED = "unpriced"
    POSSIBLY_BILLED = "possibly-billed"
    SETTLED = "settled"


@dataclass(frozen=True, slots=True)
class Reservation:
    """The highest price of a picture before its call, with its source; None: no price is known."""

    usd: Decimal | None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Amounts:
    """Sums of charges: spent, reserved for calls that run, and possibly billed."""

    spent: Decimal = ZERO
    reserved: Decimal = ZERO
    possibly: Decimal = ZERO

    @property
    def total(self) -> Decimal:
        """The sum that counts against a cap."""
        return self.spent + self.reserved + self.possibly

    def plus(self, other: "Amounts") -> "Amounts":
        """Return the sum of both."""
        return Amounts(self.spent + other.spent, self.reserved + other.reserved, self.possibly + other.possibly)

    def minus(self, other: "Amounts") -> "Amounts":
        """Return the difference, which may be negative."""
        return Amounts(self.spent - other.spent, self.reserved - other.reserved, self.possibly - other.possibly)


@dataclass(frozen=True, slots=True)
class Charge:
    """The entry of one picture in the ledger.

    `caller` and `class_key` are those at the time of the reservation, `reserved_at`, which decides to which period of
    a budget the charge belongs. `reserved_usd` None: no price was known. `cost` is None until the call has ended.
    `model` None is the generator's choice, until the result names the model. The tokens are those of the picture, None
    where the generator reports none.
    """

    guid: str
    caller: str | None
    class_key: str | None
    model: str | None
    reserved_at: datetime
    reserved_usd: Decimal | None
    source: str | None = None
    state: ChargeState = ChargeState.RESERVED
    cost: Cost | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None

    @classmethod
    def restored(cls, image: Image) -> "Charge | None":
        """Return the charge of an image whose row was lost, from its cost; its caller's class is not known."""
        cost, request = image.cost, image.request
        if cost is None:
            return None
        charge = cls(image.guid, request.author, None, request.model, request.created_at, cost.usd, cost.source)
        return replace(charge._counted(image.result), state=ChargeState(cost.state.value), cost=cost)

    @property
    def amounts(self) -> Amounts:
        """The amounts that this charge takes of each budget that applies."""
        held = self.reserved_usd or ZERO
        if self.state is ChargeState.RESERVED:
            return Amounts(reserved=held)
        if self.state is ChargeState.POSSIBLY_BILLED:
            return Amounts(possibly=held)
        return Amounts(spent=ZERO if self.cost is None or self.cost.usd is None else self.cost.usd)

    def finished(self, result: ImageResult) -> "Charge":
        """Return this charge with its picture; if the cost is not known it is what was reserved, as an estimate."""
        if self.state is ChargeState.SETTLED:
            return self  # a person has said what was billed
        cost = result.cost or self._reserved(CostState.ESTIMATED)
        return replace(self._counted(result), state=ChargeState(cost.state.value), cost=cost)

    def failed(self, status: Status) -> "Charge":
        """Return this charge without a picture: freed if the image `failed`, held if its outcome is `unknown`."""
        if self.state is ChargeState.SETTLED:
            return self
        if status is not Status.UNKNOWN:
            return replace(self, state=ChargeState.RELEASED, cost=None)
        return replace(self, state=ChargeState.POSSIBLY_BILLED, cost=self._reserved(CostState.POSSIBLY_BILLED))

    def ended_as(self, image: Image) -> "Charge":
        """Return this charge as its image ended, or unchanged if it has not."""
        if image.status is Status.READY and image.result is not None:
            return self.finished(image.result)
        return self.failed(image.status) if image.status in {Status.FAILED, Status.UNKNOWN} else self

    def settled(self, billed_usd: Decimal) -> "Charge":
        """Return this charge with what a person says was billed; 0 means nothing."""
        cost = Cost(billed_usd, CostState.SETTLED, "settled by hand", self.reserved_at.date())
        return replace(self, state=ChargeState.SETTLED, cost=cost)

    def _counted(self, result: ImageResult | None) -> "Charge":
        """Return this charge with the model and the tokens of its picture, if there is one."""
        if result is None:
            return self
        tokens_in, tokens_out = (tokens_of(result.usage, name) for name in ("input_tokens", "output_tokens"))
        return replace(self, model=self.model or result.model, tokens_in=tokens_in, tokens_out=tokens_out)

    def _reserved(self, state: CostState) -> Cost:
        """Return what was reserved as a cost in this state; `unpriced` if no price was known."""
        if self.reserved_usd is None:
            return Cost(None, CostState.UNPRICED)
        return Cost(self.reserved_usd, state, self.source, self.reserved_at.date())


def require_unsettled(image: Image | None, charge: Charge | None) -> Charge:
    """Return the charge of an image that a person may settle, a new one for an image of before charges.

    Raises:
        ImageNotFoundError: There is no image, and no charge that may have been billed.
        ConstraintViolationError: The image is not `unknown`.
    """
    if image is None:
        if charge is None or charge.state is not ChargeState.POSSIBLY_BILLED:
            raise ImageNotFoundError("There is no such image.")
        return charge
    if image.status is not Status.UNKNOWN:
        message = f"The image is {image.status}: only an unknown one can be settled."
        raise ConstraintViolationError(message, guid=image.guid)
    request = image.request
    return charge or Charge(image.guid, request.author, None, request.model, request.created_at, None)


def charged_image(image: Image, charge: Charge) -> Image:
    """Return an image with the cost that its charge has."""
    if image.result is None:
        return replace(image, possible_cost=charge.cost)
    return replace(image, result=replace(image.result, cost=charge.cost))


def settled_image(image: Image, charge: Charge, now: datetime) -> Image:
    """Return an `unknown` image with its settled charge: `failed` if nothing was billed."""
    is_billed = charge.cost is not None and bool(charge.cost.usd)
    if is_billed:
        return image.failed(Status.UNKNOWN, image.failure or UNBILLED, now, charge.cost)
    return image.failed(Status.FAILED, UNBILLED, now, charge.cost)
