"""Usage as a table: the names of its columns and their values, for JSON, CSV and the terminal."""

from typing import Any

from pixyproxy.application.money.usage_service import UsageReport
from pixyproxy.domain.money.amounts import format_usd
from pixyproxy.domain.money.daily_sums import Tally, UsageRow
from pixyproxy.entrypoints.spreadsheet import to_csv


def present_usage(report: UsageReport) -> list[dict[str, Any]]:
    """Return the rows, each under the names of its columns; money is decimal text."""
    return [_present(report.by.value, row) for row in report.rows]


def usage_as_csv(report: UsageReport) -> str:
    """Return the rows for a spreadsheet."""
    head = list(_present(report.by.value, UsageRow(None, Tally())))
    return to_csv(head, (list(row.values()) for row in present_usage(report)))


def _present(by: str, row: UsageRow) -> dict[str, Any]:
    total = row.tally
    return {
        by: row.key,
        "pictures": total.pictures,
        "failed": total.failed,
        "unknown": total.unknown,
        "unpriced": total.unpriced,
        "input_tokens": total.tokens_in,
        "output_tokens": total.tokens_out,
        "usd": format_usd(total.spent),
        "reserved": format_usd(total.reserved),
        "possibly": format_usd(total.possibly),
    }
