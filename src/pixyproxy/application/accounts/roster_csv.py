"""Files of users, as spreadsheets write them: CSV with commas, semicolons or tabs."""

import csv
from io import StringIO
from typing import NamedTuple

from pixyproxy.application.accounts.account_commands import ImportedUser
from pixyproxy.application.commands import validate
from pixyproxy.domain.errors import DataValidationError, FieldError
from pixyproxy.domain.user import compose

COLUMNS = tuple(ImportedUser.model_fields)
MAX_ROWS = 5000
_MAX_ERRORS = 100


class ImportLine(NamedTuple):
    """A line of a file: its number, and the user that it describes."""

    number: int
    user: ImportedUser


def read_roster(content: bytes) -> list[ImportLine]:
    """Return the lines of a file that describe users.

    Raises:
        DataValidationError: it is not such a file; the faults are listed by line and column.
    """
    text = _decode(content)
    reader = csv.reader(StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    try:
        head = [cell.strip().casefold() for cell in next(reader, [])]
        _check_head(head)
        lines, errors = list[ImportLine](), list[FieldError]()
        numbers: dict[str, int] = {}
        after = reader.line_num
        for row in reader:
            number, after = after + 1, reader.line_num
            if not any(cell.strip() for cell in row):
                continue
            if len(lines) >= MAX_ROWS:
                raise DataValidationError.at(("file",), f"must have at most {MAX_ROWS} users: split it")
            try:
                user = _read_row(head, row)
                first = numbers.setdefault(compose(user.user), number)
                if first != number:
                    raise DataValidationError.at(("user",), f"is in line {first} already")
                lines.append(ImportLine(number, user))
            except DataValidationError as error:
                errors += [at_line(number, each) for each in error.errors]
    except csv.Error as error:
        raise DataValidationError.at((f"line {reader.line_num}",), f"is not CSV: {error}") from None
    refuse(errors)
    if not lines:
        raise DataValidationError.at(("file",), "must have a line for each user, below the names of the columns")
    return lines


def at_line(number: int, error: FieldError) -> FieldError:
    """Return an error of a line of the file."""
    return FieldError((f"line {number}", *error.loc), error.msg)


def refuse(errors: list[FieldError]) -> None:
    """Raise DataValidationError if there are errors; it lists the first of them."""
    if errors:
        more = "" if len(errors) <= _MAX_ERRORS else f", of which the first {_MAX_ERRORS} are listed"
        faults = "a fault" if len(errors) == 1 else f"{len(errors)} faults"
        raise DataValidationError(f"Nothing was imported: the file has {faults}{more}.", errors[:_MAX_ERRORS])


def _decode(content: bytes) -> str:
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        raise DataValidationError.at(("file",), "must be text in UTF-8: save it as 'CSV UTF-8'") from None


def _delimiter(text: str) -> str:
    head = text.lstrip("\r\n").partition("\n")[0]
    return max(",;\t", key=head.count)


def _check_head(head: list[str]) -> None:
    known = ", ".join(COLUMNS)
    for name in head:
        if name not in COLUMNS:
            raise DataValidationError.at(("line 1",), f"has the unknown column {name!r:.80}: use {known}")
        if head.count(name) > 1:
            raise DataValidationError.at(("line 1",), f"has the column {name!r} twice")
    if "user" not in head:
        raise DataValidationError.at(("line 1",), f"must name the columns: user, and optionally others of {known}")


def _read_row(head: list[str], row: list[str]) -> ImportedUser:
    if any(cell.strip() for cell in row[len(head) :]):
        raise DataValidationError.at((), f"has more than {len(head)} cells")
    cells = dict(zip(head, row, strict=False))
    # Spaces at the end of a password may be meant.
    values = {name: text if name == "password" else text.strip() for name, text in cells.items() if text.strip()}
    if "role" in values:
        values["role"] = values["role"].casefold()
    return validate(ImportedUser, {"user": "", **values})
