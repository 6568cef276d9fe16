"""Highest costs in an SQL database, raised in the transactions that end charges."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from pixyproxy.adapters.sql.mapping import key_digest
from pixyproxy.adapters.sql.session import Session
from pixyproxy.domain.money.amounts import from_micro, to_micro
from pixyproxy.domain.money.charges import Charge
from pixyproxy.domain.money.highest_costs import Choice, surprising_cost

_RAISE = """INSERT INTO highest_costs (digest, model, size, quality, usd)
    VALUES (:digest, :model, :size, :quality, :usd)
    {or_update} usd = CASE WHEN usd < :usd THEN :usd ELSE usd END"""
_FIND = "SELECT usd FROM highest_costs WHERE digest = :digest"


def raise_highest_costs(session: Session, pictures: Iterable[tuple[Charge, Mapping[str, Any]]]) -> None:
    """Remember the costs of pictures, by their charges and options, that were above their reservations.

    In a fixed order, when everything else in the transaction is done.
    """
    highest: dict[Choice, Decimal] = {}
    for charge, options in pictures:
        if (found := surprising_cost(charge, options)) is not None:
            choice, usd = found
            highest[choice] = max(usd, highest.get(choice, usd))
    rows = sorted((key_digest(choice), choice, to_micro(usd)) for choice, usd in highest.items())
    for digest, choice, micro in rows:
        values = {"digest": digest, **choice._asdict(), "usd": micro}
        session.change_last(_RAISE.format(or_update=session.or_update("digest")), values)


def find_highest_cost(session: Session, choice: Choice) -> Decimal | None:
    """Return the highest cost of a choice, None if none is known."""
    rows = session.fetch(_FIND, {"digest": key_digest(choice)})
    return from_micro(int(rows[0][0])) if rows else None
