"""Tables in CSV (RFC 4180) for spreadsheets."""

import csv
from collections.abc import Iterable, Sequence
from io import StringIO

_BYTE_ORDER_MARK = "\ufeff"
"""Without it Excel does not read UTF-8."""
_BEGINS_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def to_csv(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table with a head; text that a spreadsheet would run as a formula gets an apostrophe in front."""
    file = StringIO()
    writer = csv.writer(file)
    writer.writerow(head)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return _BYTE_ORDER_MARK + file.getvalue()


def _cell(value: object) -> object:
    """Return a cell; None is empty, and characters that UTF-8 cannot encode are escaped."""
    if not isinstance(value, str):
        return "" if value is None else value
    text = value.encode(errors="backslashreplace").decode()
    # Spreadsheets skip white space and read full-width signs too.
    return f"'{text}" if text.lstrip(" \u3000").translate(_NARROW).startswith(_BEGINS_FORMULA) else text


_NARROW = str.maketrans("＝＋－＠", "=+-@")
