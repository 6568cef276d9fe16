"""Daily sums: what the charges that ended come to by day, caller, class and model.

They change in the transactions that end charges, last of all. What is reserved is read from the charges: these are few.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from pixyproxy.adapters.sql.mapping import from_time, key_digest, to_time
from pixyproxy.adapters.sql.money.sums import OF_CALLER, OF_CLASS
from pixyproxy.adapters.sql.session import Parameters, Session
from pixyproxy.domain.money.amounts import from_micro, to_micro
from pixyproxy.domain.money.charges import ChargeState
from pixyproxy.domain.money.daily_sums import (
    Grouping,
    SumKey,
    Tally,
    UsageQuery,
    UsageRow,
    add_up,
    in_order,
    tally,
)

_COUNTS = ("pictures", "failed", "unknown", "unpriced", "tokens_in", "tokens_out")
_KEPT = (*_COUNTS, "spent", "possibly")
_KEY = ("day", "caller", "class_key", "model")
_COLUMNS = ("digest", *_KEY, *_KEPT)
_INSERT = f"INSERT INTO daily_sums ({', '.join(_COLUMNS)}) VALUES ({', '.join(f':{name}' for name in _COLUMNS)})"
_ASSIGNMENTS = ", ".join(f"{name} = {name} + :{name}" for name in _KEPT)
_OF_DAY = f"SELECT {', '.join(_KEY)}, {', '.join(_KEPT)} FROM daily_sums WHERE day = :day"
_CLEAR = "DELETE FROM daily_sums WHERE day = :day"
_NEXT_DAY = "SELECT MIN(day) FROM daily_sums WHERE day > :day"
_NEXT_CHARGE = "SELECT MIN(reserved_at) FROM charges WHERE reserved_at >= :begins_at"
# MySQL's binary collation ignores trailing spaces in comparisons; the lengths distinguish them.
_CHARGED = """SELECT caller, class_key, model, state,
    COUNT(*), SUM(reserved), SUM(cost), SUM(tokens_in), SUM(tokens_out)
    FROM charges WHERE reserved_at >= :begins_at AND reserved_at < :ends_at AND state <> 'reserved'
    GROUP BY caller, LENGTH(caller), class_key, LENGTH(class_key), model, LENGTH(model), state,
    CASE WHEN cost > 0 THEN 1 ELSE 0 END"""
_GROUPS = {Grouping.USER: "caller", Grouping.CLASS: "class_key", Grouping.MODEL: "model", Grouping.DAY: "day"}
# One statement, so that a charge that ends meanwhile counts once.
_USAGE = """SELECT {group}, SUM(pictures), SUM(failed), SUM(unknown), SUM(unpriced), SUM(tokens_in), SUM(tokens_out),
    SUM(spent), SUM(reserved), SUM(possibly) FROM (
    SELECT day, caller, class_key, model, {kept}, 0 AS reserved FROM daily_sums
    WHERE day >= :first AND day <= :last{condition}
    UNION ALL
    SELECT SUBSTR(reserved_at, 1, 10), caller, class_key, model, {none}, COALESCE(reserved, 0) FROM charges{index}
    WHERE state = 'reserved' AND reserved_at >= :begins_at AND reserved_at < :ends_at{condition}
    ) AS sums GROUP BY {group}, LENGTH({group})"""


def count_in_days(session: Session, sums: Mapping[SumKey, Tally]) -> None:
    """Add to the daily sums, in a fixed order, when everything else in the transaction is done."""
    rows = sorted((_values(key, total) for key, total in sums.items()), key=lambda row: (row["day"], row["digest"]))
    for row in rows:
        session.change_last(f"{_INSERT} {session.or_update('day, digest')} {_ASSIGNMENTS}", row)


def find_usage(session: Session, query: UsageQuery) -> tuple[UsageRow, ...]:
    """Return the answer to a question."""
    conditions = [OF_CALLER] * (query.caller is not None) + [OF_CLASS] * (query.class_key is not None)
    sql = _USAGE.format(
        group=_GROUPS[query.by],
        kept=", ".join(_KEPT),
        none=", ".join("0" for _ in _KEPT),
        condition="".join(f" AND {condition}" for condition in conditions),
        index=session.by_index("charges_state"),
    )
    days = {"first": query.first.isoformat(), "last": query.last.isoformat()}
    of = {"caller": query.caller, "class_key": query.class_key}
    rows = session.fetch(sql, {**days, **_times(query.first, query.last), **of})
    return in_order(UsageRow(row[0], _tally(row[1:7], *row[7:10])) for row in rows)


def next_day(session: Session, after: date) -> date | None:
    """Return the first day after this one that has charges or sums."""
    days = [date.fromisoformat(day) for (day,) in session.fetch(_NEXT_DAY, {"day": after.isoformat()}) if day]
    begins_at = to_time(_midnight(after + timedelta(1)))
    days += [from_time(at).date() for (at,) in session.fetch(_NEXT_CHARGE, {"begins_at": begins_at}) if at]
    return min(days, default=None)


def rebuild_day(session: Session, day: date) -> None:
    """Make the sums of a day anew from its charges; the ledger is locked."""
    session.change_later(_CLEAR, {"day": day.isoformat()})
    if sums := _sum_charges(session, day):
        session.insert_many(_INSERT, [_values(key, total) for key, total in sums.items()])


def differs(session: Session, day: date) -> bool:
    """Return whether the sums of a day are not those of its charges; the ledger is locked."""
    kept: dict[SumKey, Tally] = {}
    for row in session.fetch(_OF_DAY, {"day": day.isoformat()}):
        total = _tally(row[4:10], row[10], 0, row[11])
        if total != Tally():
            add_up(kept, SumKey(day, *row[1:4]), total)
    return kept != _sum_charges(session, day)


def _sum_charges(session: Session, day: date) -> dict[SumKey, Tally]:
    sums: dict[SumKey, Tally] = {}
    for caller, class_key, model, state, charges, *amounts in session.fetch(_CHARGED, _times(day, day)):
        reserved, cost, tokens_in, tokens_out = (int(amount or 0) for amount in amounts)
        total = tally(
            ChargeState(state),
            charges=int(charges),
            reserved=from_micro(reserved),
            cost=from_micro(cost),
            tokens_in=tokens_in,
            tokens_out=tokens_out,
        )
        add_up(sums, SumKey(day, caller, class_key, model), total)
    return sums


def _values(key: SumKey, total: Tally) -> dict[str, Any]:
    day, caller, class_key, model = key
    counts = {name: getattr(total, name) for name in _COUNTS}
    amounts = {"spent": to_micro(total.spent), "possibly": to_micro(total.possibly)}
    names = {"day": day.isoformat(), "caller": caller, "class_key": class_key, "model": model}
    return {"digest": key_digest([caller, class_key, model]), **names, **counts, **amounts}


def _tally(counts: Sequence[Any], *amounts: Any) -> Tally:
    """Return the sums with these counts, and with what was spent, reserved and possibly billed, in micro-dollars."""
    pictures, failed, unknown, unpriced, tokens_in, tokens_out = map(int, counts)
    spent, reserved, possibly = (from_micro(int(amount)) for amount in amounts)
    return Tally(pictures, failed, unknown, unpriced, tokens_in, tokens_out, spent, reserved, possibly)


def _times(first: date, last: date) -> Parameters:
    return {"begins_at": to_time(_midnight(first)), "ends_at": to_time(_midnight(last + timedelta(1)))}


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
