"""Forms as a browser sends them without a script."""

from urllib.parse import parse_qsl, urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request

from pixyproxy.domain.errors import PermissionDeniedError
from pixyproxy.domain.user import User
from pixyproxy.entrypoints.http.api.requests import MAX_BODY_BYTES, BoundedRequest, media_type_of
from pixyproxy.web_origin import is_own_origin

_MAX_FIELDS = 100


class ForeignFormError(PermissionDeniedError, code="cross-site"):
    """A form that a page of another origin sent."""


async def read_form(request: Request, public_url: str | None, *, of_any_user: bool = False) -> dict[str, list[str]]:
    """Return the values of a form by name, with line breaks as `\\n`.

    Its field `login` names the user for whom the page was made. `of_any_user`: the caller compares it with the one who
    is logged in.

    Raises:
        ForeignFormError: a page of another origin sent it.
        HTTPException: 415 unless it is a form, 413 over 1 MiB, 400 if it is malformed, 409 if somebody else has logged
            in since its page was opened.
    """
    require_own_page(request, public_url)
    if media_type_of(request) != "application/x-www-form-urlencoded":
        raise HTTPException(415, "Send the form as application/x-www-form-urlencoded.")
    body = await BoundedRequest(request, MAX_BODY_BYTES).body()
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise HTTPException(400, f"The form is malformed: it has at most {_MAX_FIELDS} fields in UTF-8.") from None
    values: dict[str, list[str]] = {}
    for name, text in pairs:
        values.setdefault(name, []).append(with_plain_breaks(text))
    user: User | None = request.state.user
    if not of_any_user and user is not None and values.get("login", [user.username]) != [user.username]:
        raise HTTPException(409, "Somebody else has logged in since this page was opened. Nothing was done.")
    return values


def require_own_page(request: Request, public_url: str | None) -> None:
    """Raise ForeignFormError if a page of another origin sent a form, even one that may call the API."""
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site", "same-origin")
    is_own = origin is None or is_own_origin(origin, request.headers.get("host", ""), public_url)
    if site not in {"same-origin", "none"} or not is_own:
        raise ForeignFormError("Only a page of this service may send this form.")


def with_plain_breaks(text: str) -> str:
    """Return the text of a field as it was typed: HTML sends CRLF for every line break."""
    return text.replace("\r\n", "\n")


def local_path(address: str) -> str:
    """Return an address if it is a path of this service, else `/`: a link must not lead elsewhere after a login."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return "/"
    plain = address.isprintable() and "\\" not in address and address.startswith("/") and not address.startswith("//")
    return address if plain and not parts.scheme and not parts.netloc else "/"
