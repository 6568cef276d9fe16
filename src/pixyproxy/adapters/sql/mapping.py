"""The one mapping between an image and its row."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import jiter

from pixyproxy.adapters.sql.session import Row
from pixyproxy.domain.generation import IdempotencyClaim, Lease, QueuedCall
from pixyproxy.domain.image import Failure, Image, ImageRequest, ImageResult, Picture, Status, Visibility
from pixyproxy.domain.money.costs import Cost
from pixyproxy.domain.search_terms import fold

_COLUMNS = [
    *("guid", "filename", "prompt", "tags", "author", "visibility", "status", "created_at", "updated_at"),
    *("generator", "model", "parameters", "media_type", "width", "height", "size_bytes", "sha256"),
    *("revised_prompt", "`usage`", "error_code", "error_message", "derived_from", "batch", "reported", "placeholder"),
    *("cost", "hidden"),
]
IMAGE_COLUMNS = ", ".join(f"images.{column}" for column in ("id", *_COLUMNS))
"""The columns in the order in which `to_image` takes them."""
SELECT_IMAGE = f"SELECT {IMAGE_COLUMNS} FROM images"
"""The beginning of every query for images."""


HIDDEN = "hidden"
"""Stands for `public` in the column `visibility` of images that are hidden, so that indexes tell them apart."""

_INSERTED_COLUMNS = [
    *(*_COLUMNS, "filename_folded", "lease_owner", "lease_expires_at"),
    *("idempotency_caller", "idempotency_key", "idempotency_holder", "request_fingerprint", "queued_call"),
]
_VALUES = ", ".join(f":{column.strip('`')}" for column in _INSERTED_COLUMNS)
INSERT_IMAGE = f"INSERT INTO images ({', '.join(_INSERTED_COLUMNS)}) VALUES ({_VALUES})"
"""The statement that adds a row with the values of `new_row`."""


def to_image(row: Row) -> Image:
    """Return the image of a row of `SELECT_IMAGE`."""
    image_id, guid, filename, prompt, tags, author, visibility, status, created_at, updated_at = row[:10]
    generator, model, parameters, media_type, width, height, size_bytes, sha256 = row[10:18]
    revised_prompt, usage, error_code, error_message, derived_from, batch, reported, placeholder, cost = row[18:27]
    known_cost = None if cost is None else Cost.from_json(from_json(cost))
    return Image(
        id=image_id,
        request=ImageRequest(
            guid=guid,
            filename=filename,
            prompt=prompt,
            tags=tuple(from_json(tags)),
            author=author,
            visibility=Visibility.PUBLIC if visibility == HIDDEN else Visibility(visibility),
            generator=generator,
            model=model,
            parameters=from_json(parameters),
            created_at=from_time(created_at),
            derived_from=() if derived_from is None else tuple(from_json(derived_from)),
            batch=batch,
            hidden=bool(row[27]),
        ),
        status=Status(status),
        updated_at=from_time(updated_at),
        result=None
        if sha256 is None
        else ImageResult(
            picture=Picture(media_type, width, height),
            size_bytes=size_bytes,
            sha256=sha256,
            model=model,
            revised_prompt=revised_prompt,
            usage=None if usage is None else from_json(usage),
            reported=None if reported is None else from_json(reported),
            cost=known_cost,
        ),
        failure=None if error_code is None else Failure(error_code, error_message),
        placeholder=placeholder,
        possible_cost=known_cost if sha256 is None else None,
    )


def new_row(
    image: Image,
    lease: Lease | None = None,
    claim: IdempotencyClaim | None = None,
    queued_call: QueuedCall | None = None,
) -> dict[str, Any]:
    """Return the values of a new row, all but its id."""
    request = image.request
    return {
        "guid": request.guid,
        "prompt": request.prompt,
        "author": request.author,
        "status": image.status.value,
        "created_at": to_time(request.created_at),
        "updated_at": to_time(image.updated_at),
        "generator": request.generator,
        "parameters": to_json(request.parameters),
        "derived_from": to_json(request.derived_from) if request.derived_from else None,
        "batch": request.batch,
        "error_code": None if image.failure is None else image.failure.code,
        "error_message": None if image.failure is None else image.failure.message,
        "placeholder": image.placeholder,
        "lease_owner": None if lease is None else lease.owner,
        "lease_expires_at": None if lease is None else to_time(lease.expires_at),
        "queued_call": None if queued_call is None else to_json(queued_call.as_json()),
        **changeable_values(request),
        **result_values(image),
        **claim_values(claim),
    }


def changeable_values(request: ImageRequest) -> dict[str, Any]:
    """Return the values that an author may change, and staff."""
    is_out_of_sight = request.hidden and request.visibility is Visibility.PUBLIC
    return {
        "filename": request.filename,
        "filename_folded": fold(request.filename),
        "tags": to_json(request.tags),
        "visibility": HIDDEN if is_out_of_sight else request.visibility.value,
        "hidden": int(request.hidden),
    }


def claim_values(claim: IdempotencyClaim | None) -> dict[str, Any]:
    """Return the values that hold a claim, or none."""
    return {
        "idempotency_caller": None if claim is None else claim.caller,
        "idempotency_key": None if claim is None else claim.key,
        "idempotency_holder": None if claim is None else claim.holder,
        "request_fingerprint": None if claim is None else claim.fingerprint,
    }


def result_values(image: Image) -> dict[str, Any]:
    """Return the values that hold the result of an image, or none."""
    result = image.result
    usage, reported = (None, None) if result is None else (result.usage, result.reported)
    return {
        "media_type": None if result is None else result.picture.media_type,
        "width": None if result is None else result.picture.width,
        "height": None if result is None else result.picture.height,
        "size_bytes": None if result is None else result.size_bytes,
        "sha256": None if result is None else result.sha256,
        "model": image.request.model,
        "revised_prompt": None if result is None else result.revised_prompt,
        "usage": None if usage is None else to_json(usage),
        "reported": None if reported is None else to_json(reported),
        "cost": None if image.cost is None else to_json(image.cost.as_json()),
    }


def guid_key(guid: str) -> str:
    """Return the GUID, or for text that cannot be one an empty string, which no row has.

    MySQL refuses to compare non-ASCII text with an ASCII column, and ignores trailing spaces.
    """
    return guid if len(guid) == 36 and guid.isascii() else ""


def key_digest(parts: Sequence[str | None]) -> str:
    """Return a short key for texts that are too long, or may be missing, for a primary key of their own."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def to_json(value: Mapping[str, Any] | tuple[str, ...]) -> str:
    """Return JSON text, in ASCII, so that even text that UTF-8 cannot encode is kept."""
    return json.dumps(dict(value) if isinstance(value, Mapping) else value, separators=(",", ":"))


def from_json(text: str) -> Any:
    """Return the values of JSON text, three times as fast as the standard library."""
    try:
        return jiter.from_json(text.encode(), cache_mode="none")
    except ValueError:
        return json.loads(text)  # which accepts lone surrogates


def to_time(value: datetime) -> str:
    """Return UTC with microseconds as text that sorts and that every server accepts."""
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


def from_time(text: str) -> datetime:
    """Return the aware time that `to_time` wrote."""
    return datetime.fromisoformat(text + "+00:00")
