"""The pictures of a form: they are begun one by one, each under a key of its own that is made from the form's."""

import re
import secrets
from collections.abc import Mapping

from pixyproxy.application.generation.callers import Caller
from pixyproxy.application.images.image_service import ImageService
from pixyproxy.domain.access import Viewer
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.entrypoints.http.pages.making.create_form import CreateForm

OPTIONS = ("model", "size", "quality", "background", "output_format")
"""The fields of the form that are options of `POST /image`."""
_MOST_PICTURES = 4
_BETWEEN_TAGS = re.compile(r"[,\n]")


def new_key() -> str:
    """Return an idempotency key for a form, so that a form that is sent twice makes one picture."""
    return secrets.token_urlsafe(18)


async def begin_pictures(
    images: ImageService, viewer: Viewer, sent: CreateForm, caller: Caller, begun: list[str]
) -> None:
    """Have the pictures of a form begun, and add their GUIDs to `begun`: those before an error are paid for.

    Raises:
        PixyProxyException: the form is wrong, or a picture is refused.
    """
    key, first = sent.fields.get("key") or new_key(), _begun_of(sent.fields)
    body, count = _body_of(sent.fields), _count_of(sent.fields.get("n", ""))
    if sent.has_files:
        # The files are there once: all pictures are made by one call.
        outcome = await images.generate(
            viewer, {**body, "n": count}, sent.sources, idempotency_key=f"{key}-{first}", wait=False, caller=caller
        )
        begun += [image.guid for image in outcome.images]
        return
    if sent.stored:
        body["edit_of"] = sent.stored
    for number in range(first, first + count):
        outcome = await images.create(viewer, body, idempotency_key=f"{key}-{number}", wait=False, caller=caller)
        begun.append(outcome.image.guid)


def rest_of(fields: Mapping[str, str], begun: int) -> tuple[int, Mapping[str, str]]:
    """Return how many pictures a form asked for, and the fields of one for those that are not begun.

    It keeps the key, because the picture that was refused may have been recorded by a database that did not answer.
    """
    if not begun:
        return 0, fields
    wanted = _count_of(fields.get("n", ""))
    return wanted, {**fields, "n": str(wanted - begun), "begun": str(_begun_of(fields) + begun)}


def _body_of(fields: Mapping[str, str]) -> dict[str, object]:
    """Return the body of `POST /image` for a form; fields that are blank are left to the service."""
    body: dict[str, object] = {"prompt": fields.get("prompt", "")}
    for name in (*OPTIONS, "visibility"):
        if text := fields.get(name, "").strip():
            body[name] = text
    if tags := [tag for tag in _BETWEEN_TAGS.split(fields.get("tags", "")) if tag.strip()]:
        body["tags"] = [tag.strip().removeprefix("#") for tag in tags]
    return body


def _begun_of(fields: Mapping[str, str]) -> int:
    """Return how many pictures were begun with the key of a form before."""
    return _digit(fields.get("begun", ""))


def _count_of(text: str) -> int:
    """Return the number of pictures; raise DataValidationError unless it is from 1 to 4."""
    count = _digit(text) if text else 1
    if not 1 <= count <= _MOST_PICTURES:
        raise DataValidationError.at(("n",), f"must be a number from 1 to {_MOST_PICTURES}")
    return count


def _digit(text: str) -> int:
    """Return the number of one digit, 0 for any other text."""
    return int(text) if len(text) == 1 and text.isdecimal() and text.isascii() else 0
