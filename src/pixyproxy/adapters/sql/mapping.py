"""The one mapping between an image and its row."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import jiter

from pixyproxy.adapters.sql.session import Row
from pixyproxy.domain.image import Failure, Image, ImageDraft, ImageResult, Status, Visibility
from pixyproxy.domain.search_terms import fold

IMAGE_COLUMNS = """images.id, images.guid, images.filename, images.prompt, images.tags, images.author,
    images.visibility, images.status, images.created_at, images.updated_at, images.generator, images.model,
    images.parameters, images.media_type, images.width, images.height, images.size_bytes, images.sha256,
    images.revised_prompt, images.`usage`, images.error_code, images.error_message, images.derived_from,
    images.batch, images.reported, images.placeholder"""
"""The columns in the order in which `to_image` takes them."""
SELECT_IMAGE = " ".join(["SELECT", IMAGE_COLUMNS, "FROM images"])
"""Begins every query for images."""


def to_image(row: Row) -> Image:
    """The image of a row of `SELECT_IMAGE`."""
    image_id, guid, filename, prompt, tags, author, visibility, status, created_at, updated_at = row[:10]
    generator, model, parameters, media_type, width, height, size_bytes, sha256 = row[10:18]
    revised_prompt, usage, error_code, error_message, derived_from, batch, reported, placeholder = row[18:]
    return Image(
        id=image_id,
        guid=guid,
        filename=filename,
        prompt=prompt,
        tags=tuple(from_json(tags)),
        author=author,
        visibility=Visibility(visibility),
        status=Status(status),
        created_at=from_time(created_at),
        updated_at=from_time(updated_at),
        generator=generator,
        model=model,
        parameters=from_json(parameters),
        media_type=media_type,
        width=width,
        height=height,
        size_bytes=size_bytes,
        sha256=sha256,
        revised_prompt=revised_prompt,
        usage=None if usage is None else from_json(usage),
        reported=None if reported is None else from_json(reported),
        error=None if error_code is None else Failure(error_code, error_message),
        derived_from=() if derived_from is None else tuple(from_json(derived_from)),
        batch=batch,
        placeholder=placeholder,
    )


def draft_parameters(draft: ImageDraft) -> dict[str, Any]:
    """The values of a new row."""
    return {
        "guid": draft.guid,
        "filename": draft.filename,
        "filename_folded": fold(draft.filename),
        "prompt": draft.prompt,
        "tags": to_json(draft.tags),
        "author": draft.author,
        "visibility": draft.visibility.value,
        "status": Status.GENERATING.value,
        "created_at": to_time(draft.created_at),
        "updated_at": to_time(draft.created_at),
        "generator": draft.generator,
        "model": draft.model,
        "parameters": to_json(draft.parameters),
        "lease_owner": draft.lease_owner,
        "lease_expires_at": to_time(draft.lease_expires_at),
        "derived_from": to_json(draft.derived_from) if draft.derived_from else None,
        "batch": draft.batch,
    } | claim_parameters(draft)


def claim_parameters(draft: ImageDraft) -> dict[str, Any]:
    """The values of a row that hold its claim."""
    return {
        "idempotency_caller": None if draft.claim is None else draft.claim.caller,
        "idempotency_key": None if draft.claim is None else draft.claim.key,
        "request_fingerprint": None if draft.claim is None else draft.claim.fingerprint,
    }


def result_parameters(result: ImageResult) -> dict[str, Any]:
    """The values that a finished generation adds to its row."""
    return {
        "filename": result.filename,
        "filename_folded": fold(result.filename),
        "media_type": result.picture.media_type,
        "width": result.picture.width,
        "height": result.picture.height,
        "size_bytes": result.size_bytes,
        "sha256": result.sha256,
        "model": result.model,
        "revised_prompt": result.revised_prompt,
        "usage": None if result.usage is None else to_json(result.usage),
        "reported": None if result.reported is None else to_json(result.reported),
    }


def image_parameters(image: Image) -> dict[str, Any]:
    """The values of the row of an image that is restored, all but its id."""
    return {
        "guid": image.guid,
        "filename": image.filename,
        "filename_folded": fold(image.filename),
        "prompt": image.prompt,
        "tags": to_json(image.tags),
        "author": image.author,
        "visibility": image.visibility.value,
        "status": image.status.value,
        "created_at": to_time(image.created_at),
        "updated_at": to_time(image.updated_at),
        "generator": image.generator,
        "model": image.model,
        "parameters": to_json(image.parameters),
        "media_type": image.media_type,
        "width": image.width,
        "height": image.height,
        "size_bytes": image.size_bytes,
        "sha256": image.sha256,
        "revised_prompt": image.revised_prompt,
        "usage": None if image.usage is None else to_json(image.usage),
        "error_code": None if image.error is None else image.error.code,
        "error_message": None if image.error is None else image.error.message,
        "derived_from": to_json(image.derived_from) if image.derived_from else None,
        "batch": image.batch,
        "reported": None if image.reported is None else to_json(image.reported),
        "placeholder": image.placeholder,
    }


def guid_key(guid: str) -> str:
    """The GUID, or empty text, which no row has, for what cannot be one.

    MySQL would refuse to compare what is not ASCII, and would overlook trailing spaces.
    """
    return guid if len(guid) == 36 and guid.isascii() else ""


def to_json(value: Mapping[str, Any] | tuple[str, ...]) -> str:
    """JSON text; ASCII only, so that even what UTF-8 cannot hold comes back as it was."""
    return json.dumps(dict(value) if isinstance(value, Mapping) else value, separators=(",", ":"))


def from_json(text: str) -> Any:
    """The values behind JSON text; those of an image take a third of the time they take the standard library."""
    try:
        return jiter.from_json(text.encode(), cache_mode="none")
    except ValueError:
        return json.loads(text)  # which reads lone surrogates, too


def to_time(value: datetime) -> str:
    """UTC with microseconds in the form that both servers take, and that sorts as text."""
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


def from_time(text: str) -> datetime:
    """The aware time behind `to_time`."""
    return datetime.fromisoformat(text + "+00:00")
