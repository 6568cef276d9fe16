"""The transactions of the image repositories, written once for every SQL server."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice, pairwise
from typing import Any

from pixyproxy.adapters.sql.mapping import (
    IMAGE_COLUMNS,
    INSERT_IMAGE,
    SELECT_IMAGE,
    changeable_values,
    claim_values,
    guid_key,
    new_row,
    result_values,
    to_image,
    to_time,
)
from pixyproxy.adapters.sql.search.id_range import mark_stragglers
from pixyproxy.adapters.sql.search.index_rows import insert_sources, insert_tags, insert_terms
from pixyproxy.adapters.sql.session import Session, in_list
from pixyproxy.domain.errors import ConstraintViolationError, IdempotencyKeyTakenError, ImageNotFoundError
from pixyproxy.domain.generation import ImageDraft
from pixyproxy.domain.image import Failure, Image, ImageChanges, ImageResult, Status

_BY_GUID = "FROM images WHERE images.guid = :guid"
_BY_GUIDS = "FROM images WHERE images.guid IN "
_READY = """UPDATE images SET status = 'ready', filename = :filename, filename_folded = :filename_folded,
    media_type = :media_type, width = :width, height = :height, size_bytes = :size_bytes, sha256 = :sha256,
    model = :model, revised_prompt = :revised_prompt, `usage` = :usage, reported = :reported,
    updated_at = :now, error_code = NULL, error_message = NULL, lease_owner = NULL, lease_expires_at = NULL
    WHERE guid = :guid"""
_FINISH = _READY + " AND status = 'generating' AND updated_at = :begun"
_UPDATE = """UPDATE images SET filename = :filename, filename_folded = :filename_folded, tags = :tags,
    visibility = :visibility, updated_at = :now WHERE guid = :guid"""
_PLACEHOLDER = "UPDATE images SET placeholder = :placeholder WHERE guid = :guid"
_FAILED = """UPDATE images SET status = :status, error_code = :code, error_message = :message, updated_at = :now,
    lease_owner = NULL, lease_expires_at = NULL WHERE guid = :guid"""
_FREE_CLAIM = """UPDATE images SET idempotency_caller = NULL, idempotency_key = NULL, request_fingerprint = NULL
    WHERE guid = :guid"""
_CLAIM = """UPDATE images SET idempotency_caller = :idempotency_caller, idempotency_key = :idempotency_key,
    request_fingerprint = :request_fingerprint WHERE guid = :guid"""
_BY_CLAIM = """FROM images WHERE images.idempotency_caller = :caller AND images.idempotency_key = :key
    AND LENGTH(images.idempotency_caller) = LENGTH(:caller)"""
_KNOWN = sorted(Status)
# Statuses written by a newer version lie between the known ones.
_UNKNOWN = (
    f"status < '{_KNOWN[0]}'",
    *(f"status > '{low}' AND status < '{high}'" for low, high in pairwise(_KNOWN)),
    f"status > '{_KNOWN[-1]}'",
)
_OF_REQUEST = """SELECT id FROM images WHERE request_fingerprint = :fingerprint
    AND idempotency_caller = :caller AND LENGTH(idempotency_caller) = LENGTH(:caller) AND"""
_RECENT = ("status IN ('ready', 'failed', 'unknown')", *_UNKNOWN)
# UNION ALL instead of OR, and a range of statuses in each part, so that each server reads only recent entries of the
# index, however often the same was requested before.
_BY_REQUEST = " ".join(
    [
        "FROM images WHERE images.id = (SELECT MAX(id) FROM (",
        _OF_REQUEST,
        "status = 'generating'",
        *(f"UNION ALL {_OF_REQUEST} {statuses} AND updated_at >= :since" for statuses in _RECENT),
        ") AS recent)",
    ]
)
_BATCH = SELECT_IMAGE + " WHERE images.batch = :guid ORDER BY images.id"


@dataclass(frozen=True, slots=True)
class Finished:
    """An image as it was recorded when it was begun, and what came of it."""

    begun: Image
    result: ImageResult
    now: datetime


def find_claimed(session: Session, caller: str, key: str) -> tuple[Image, str] | None:
    """The image that holds this claim and the fingerprint of its request, or None."""
    columns = ", ".join([IMAGE_COLUMNS, "images.request_fingerprint"])
    row = session.fetch_one(columns, _BY_CLAIM, {"caller": caller, "key": key})
    return None if row is None else (to_image(row[:-1]), row[-1])


def find_recent(session: Session, caller: str, fingerprint: str, since: datetime) -> Image | None:
    """The newest image with this fingerprint of this caller that is being made or has changed since, or None."""
    parameters = {"caller": caller, "fingerprint": fingerprint, "since": to_time(since)}
    row = session.fetch_one(IMAGE_COLUMNS, _BY_REQUEST, parameters)
    return None if row is None else to_image(row)


def find(session: Session, guid: str) -> Image | None:
    """The image with this guid, or None."""
    row = session.fetch_one(IMAGE_COLUMNS, _BY_GUID, {"guid": guid_key(guid)})
    return None if row is None else to_image(row)


def get(session: Session, guid: str) -> Image:
    """The image with this guid; raises ImageNotFoundError."""
    image = find(session, guid)
    if image is None:
        raise missing()
    return image


def find_all(session: Session, guids: Sequence[str]) -> dict[str, Image]:
    """The images with these GUIDs, as far as there are any, by GUID."""
    values, parameters = in_list([guid_key(guid) for guid in guids])
    rows = session.fetch_few(IMAGE_COLUMNS, _BY_GUIDS + values, parameters)
    return {image.guid: image for image in map(to_image, rows)}


def batch(session: Session, guid: str) -> tuple[Image, ...]:
    """The images of this batch."""
    return tuple(map(to_image, session.fetch(_BATCH, {"guid": guid_key(guid)})))


def add_batches(session: Session, batches: Sequence[Sequence[ImageDraft]]) -> list[tuple[Image, ...]]:
    """Insert the images of several batches and the rows by which they are found."""
    images = _add_all(session, [draft for drafts in batches for draft in drafts])
    mark_stragglers(session, [(image.id, image.request.created_at) for image in images])
    rest = iter(images)
    return [tuple(islice(rest, len(drafts))) for drafts in batches]


def find_added(session: Session, drafts: Sequence[ImageDraft]) -> tuple[Image, ...] | None:
    """The images of all these drafts, or None if one is not there."""
    found = [image for draft in drafts if (image := find(session, draft.guid)) is not None]
    return tuple(found) if len(found) == len(drafts) else None


def blame_claim(session: Session, drafts: Sequence[ImageDraft]) -> None:
    """After a violated constraint, raise IdempotencyKeyTakenError if it was the claim: none of the GUIDs is there."""
    guids = {draft.guid for draft in drafts}
    is_new = len(guids) == len(drafts) and not any(find(session, guid) for guid in guids)
    claim = drafts[0].claim
    if is_new and claim is not None and claim.key is not None:
        raise IdempotencyKeyTakenError("The idempotency key is taken.")


def finish(session: Session, finished: Sequence[Finished]) -> list[bool]:
    """Record the results of images that are being made, each in one statement; False for one that has changed.

    Done a second time it changes nothing.
    """
    each = [
        _finished_values(one.begun.finished(one.result, one.now)) | {"begun": to_time(one.begun.updated_at)}
        for one in finished
    ]
    return [bool(count) for count in session.change_each(_FINISH, each)]


def mark_ready(session: Session, guid: str, result: ImageResult, now: datetime) -> Image:
    """Record the result, unless exactly it is recorded already."""
    image = _get_locked(session, guid)
    finished = image.finished(result, now)
    if finished is not image:
        session.change_later(_READY, _finished_values(finished))
    return finished


def mark_failed(session: Session, guid: str, status: Status, failure: Failure, now: datetime, free_key: bool) -> Image:
    """Record the failure; raises ConstraintViolationError if the image is ready."""
    if _get_locked(session, guid).status is Status.READY:
        raise ConstraintViolationError("The image is ready: it cannot turn into a failure.", guid=guid)
    session.change_later(
        _FAILED,
        {
            "guid": guid_key(guid),
            "status": status.value,
            "code": failure.code,
            "message": failure.message,
            "now": to_time(now),
        },
    )
    if free_key:
        session.change_later(_FREE_CLAIM, {"guid": guid_key(guid)})
    return get(session, guid)


def update(session: Session, guid: str, changes: ImageChanges, now: datetime) -> Image:
    """Change the fields that are given."""
    image = _get_locked(session, guid)
    changed = image.changed(changes, now)
    session.change_later(_UPDATE, changeable_values(changed.request) | {"guid": guid_key(guid), "now": to_time(now)})
    if changed.request.tags != image.request.tags:
        session.change_later("DELETE FROM image_tags WHERE image_id = :image_id", {"image_id": image.id})
        insert_tags(session, image.id, changed.request.tags)
    return get(session, guid)


def set_placeholder(session: Session, guid: str, placeholder: str) -> None:
    """Replace the placeholder."""
    session.change_later(_PLACEHOLDER, {"guid": guid_key(guid), "placeholder": placeholder})


def delete(session: Session, guid: str) -> None:
    """Delete the row; its tags and terms go with it."""
    if not session.change("DELETE FROM images WHERE guid = :guid", {"guid": guid_key(guid)}):
        raise missing()


def _finished_values(image: Image) -> dict[str, Any]:
    values = changeable_values(image.request) | result_values(image)
    return values | {"guid": guid_key(image.guid), "now": to_time(image.updated_at)}


def _add_all(session: Session, drafts: Sequence[ImageDraft]) -> list[Image]:
    # Where there are several, keys are claimed last: on MySQL, who waits for a claim to be committed bars the place in
    # its index where rows without a key go, and so would end in a deadlock with whoever holds it and inserts more.
    late = [draft for draft in drafts if draft.claim is not None and draft.claim.key is not None and len(drafts) > 1]
    rows = [new_row(draft.recorded(0), draft.lease, None if draft in late else draft.claim) for draft in drafts]
    ids = session.insert_each(INSERT_IMAGE, rows)
    images = [draft.recorded(image_id) for draft, image_id in zip(drafts, ids, strict=True)]
    for image in images:
        insert_tags(session, image.id, image.request.tags)
        insert_terms(session, image.id, image.request.prompt)
        insert_sources(session, image.id, image.request.derived_from)
    for draft in late:
        session.change_later(_CLAIM, claim_values(draft.claim) | {"guid": draft.guid})
    return images


def _get_locked(session: Session, guid: str) -> Image:
    row = session.fetch_one(IMAGE_COLUMNS, _BY_GUID + session.row_lock, {"guid": guid_key(guid)})
    if row is None:
        raise missing()
    return to_image(row)


def missing() -> ImageNotFoundError:
    """The error for a GUID that no image has."""
    return ImageNotFoundError("There is no such image.")
