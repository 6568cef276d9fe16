"""Strict parsing of query strings: valid UTF-8, one value for each name unless it is repeatable."""

import re
from collections.abc import Collection
from urllib.parse import parse_qsl

from starlette.requests import Request

from pixyproxy.domain.errors import DataValidationError, FieldError

_NUMBER = re.compile(r"-?[0-9]{1,9}")


def read_query(
    request: Request, *, repeatable: Collection[str] = (), numbers: Collection[str] = ()
) -> dict[str, object]:
    """Return the parameters by name: a list if repeatable, an int if it is one of `numbers` and well-formed.

    Unknown names are returned too: the use case refuses them.

    Raises:
        DataValidationError: the query string is not UTF-8, or a parameter is repeated.
    """
    try:
        pairs = parse_qsl(
            request.scope["query_string"].decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=200
        )
    except ValueError:
        raise DataValidationError(
            "The query string is malformed: use at most 200 parameters, percent-encoded UTF-8.",
            [FieldError(("query",), "must be percent-encoded UTF-8 with at most 200 parameters")],
        ) from None
    values: dict[str, object] = {}
    for name, text in pairs:
        if name in repeatable:
            found = values.setdefault(name, [])
            assert isinstance(found, list)  # noqa: S101 - for the type checker
            found.append(text)
        elif name in values:
            raise DataValidationError(f"Not valid: {name}.", [FieldError((name,), "must be given once only")])
        else:
            values[name] = int(text) if name in numbers and _NUMBER.fullmatch(text) else text
    return values
