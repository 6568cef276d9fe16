"""A user's spending as the template shows it: sums, budgets, and a month by days with its chart."""

import calendar
from collections.abc import Iterable, Sequence
from datetime import date
from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal
from typing import Any

from pixyproxy.application.money.usage_service import UsageReport
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.money.budgets import Balance, Per
from pixyproxy.domain.money.charges import ZERO
from pixyproxy.domain.money.daily_sums import FIRST_DAY, Tally, UsageRow
from pixyproxy.entrypoints.http.pages.texts import usd_text

_LEAST_TOP = Decimal("0.01")
_PLACES = Decimal("0.001")
_STEPS = (1, 2, 5, 10)
_BAR, _GAP, _HEIGHT = 8, 2, 100
_PER = {Per.DAY: "today", Per.MONTH: "this month", Per.TOTAL: "in all"}


def month_of(text: str, today: date) -> date:
    """Return the first day of a month given as `2026-11`, of this one if blank.

    Raises:
        DataValidationError: It is no month, or one that has not begun.
    """
    if not text:
        return today.replace(day=1)
    try:
        first = date.fromisoformat(f"{text}-01")
    except ValueError:
        first = date.max
    if not FIRST_DAY <= first <= today:
        raise DataValidationError.at(("month",), "must be a month such as 2026-11 that has begun")
    return first


def last_of(month: date) -> date:
    """Return the last day of a month."""
    return month.replace(day=calendar.monthrange(month.year, month.month)[1])


def month_text(month: date) -> str:
    """Return a month as `2026-11`."""
    return f"{month:%Y-%m}"


def present_sum(label: str, total: Tally) -> dict[str, Any]:
    """Return a sum with what it leaves open."""
    notes = []
    if total.reserved:
        notes.append(f"{usd_text(total.reserved)} reserved")
    if total.possibly:
        notes.append(f"up to {usd_text(total.possibly)} possibly billed")
    if total.unpriced:
        notes.append(f"{total.unpriced} unpriced")
    pictures = f"{total.pictures} picture{'' if total.pictures == 1 else 's'}"
    return {"label": label, "usd": usd_text(total.spent), "pictures": pictures, "notes": notes}


def present_budget(balance: Balance) -> dict[str, Any]:
    """Return a budget with its parts in percent of the cap, none of which goes beyond it."""
    kind, _, name = balance.budget.scope.partition(":")
    cap, amounts, at = balance.budget.cap_usd, balance.amounts, ZERO
    parts = []
    for part, usd in (("spent", amounts.spent), ("reserved", amounts.reserved), ("possibly", amounts.possibly)):
        width = min(100 - at, 100 * usd / cap) if cap else ZERO
        if width:
            parts.append({"name": part, "x": f"{at:.2f}", "width": f"{width:.2f}", "usd": usd_text(usd)})
        at += width
    return {
        "name": {"service": "The whole service", "class": "Class"}.get(kind, "Yours"),
        "class_key": name if kind == "class" else None,
        "left": usd_text(balance.left_usd),
        "cap": usd_text(cap),
        "per": _PER[balance.budget.per],
        "parts": parts,
        "resets": None if balance.resets_at is None else f"{balance.resets_at:%-d %b %Y, %H:%M} UTC",
        "is_used_up": not balance.left_usd,
    }


def present_left(balances: Iterable[Balance]) -> dict[str, str] | None:
    """Return what the tightest budget leaves, in dollars and in percent of its cap; None without a budget."""
    tightest = min(balances, key=lambda balance: balance.left_usd, default=None)
    if tightest is None:
        return None
    cap, left = tightest.budget.cap_usd, tightest.left_usd
    kind = tightest.budget.scope.partition(":")[0]
    whose = {"service": "the whole service", "class": "your class"}.get(kind, "you")
    return {
        "left": usd_text(left),
        "percent": f"{100 * left / cap if cap else ZERO:.0f}",
        "title": f"of {usd_text(cap)} for {whose} {_PER[tightest.budget.per]}",
    }


def present_days(report: UsageReport) -> dict[str, Any]:
    """Return the days that have charges as rows of a table with their sum, and a chart of all days."""
    tallies = {row.key: row.tally for row in report.rows}
    days = [report.first.replace(day=number) for number in range(1, report.last.day + 1)]
    total = Tally()
    for row in report.rows:
        total = total.plus(row.tally)
    return {
        "rows": [_present_day(row) for row in report.rows],
        "total": _present_tally(total),
        "shows": {
            name: bool(getattr(total, name)) for name in ("failed", "unknown", "unpriced", "reserved", "possibly")
        },
        "chart": _chart(days, [tallies.get(day.isoformat(), Tally()) for day in days]),
    }


def _present_day(row: UsageRow) -> dict[str, Any]:
    day = date.fromisoformat(str(row.key))
    return {"day": f"{day:%-d %b}", "date": row.key, **_present_tally(row.tally)}


def _present_tally(total: Tally) -> dict[str, Any]:
    amounts = {name: _cell_text(getattr(total, name)) for name in ("spent", "reserved", "possibly")}
    counts = {name: getattr(total, name) or "–" for name in ("pictures", "failed", "unknown", "unpriced")}
    return {**counts, **amounts}


def _cell_text(usd: Decimal) -> str:
    """Return an amount with as many places as all others of a column, rounded up from nothing."""
    return f"${usd.quantize(_PLACES, ROUND_HALF_UP if usd >= _PLACES else ROUND_CEILING):,.3f}" if usd else "–"


def _chart(days: Sequence[date], tallies: Sequence[Tally]) -> dict[str, Any] | None:
    """Return bars in units of a view box that is stretched to the page, None if there is nothing to draw."""
    highest = max(tally.spent + tally.reserved + tally.possibly for tally in tallies)
    if not highest:
        return None
    top = _rounded_up(highest)
    bars = []
    for number, (day, tally) in enumerate(zip(days, tallies, strict=True)):
        parts, y = [], Decimal(_HEIGHT)
        for name in ("spent", "reserved", "possibly"):
            if height := _HEIGHT * getattr(tally, name) / top:
                y -= height
                parts.append({"name": name, "y": f"{y:.2f}", "height": f"{height:.2f}"})
        words = [f"{usd_text(getattr(tally, part['name']))} {_WORDS[part['name']]}" for part in parts]
        bars.append(
            {"x": number * (_BAR + _GAP) + _GAP // 2, "parts": parts, "title": f"{day:%-d %b}: {', '.join(words)}"}
        )
    return {
        "width": len(days) * (_BAR + _GAP),
        "height": _HEIGHT,
        "bar": _BAR,
        "bars": [bar for bar in bars if bar["parts"]],
        "days": [day.day if day.day % 7 == 1 else "" for day in days],
        "axis": [f"${(top * part).normalize():,f}" for part in (1, Decimal("0.5"), 0)],
    }


_WORDS = {"spent": "spent", "reserved": "reserved", "possibly": "possibly billed"}


def _rounded_up(usd: Decimal) -> Decimal:
    """Return the next amount that is 1, 2 or 5 times a power of ten."""
    usd = max(usd, _LEAST_TOP)
    power = Decimal(10) ** usd.adjusted()
    digit = (usd / power).to_integral_value(ROUND_CEILING)
    return power * next(step for step in _STEPS if step >= digit)
