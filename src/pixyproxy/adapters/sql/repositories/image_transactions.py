"""The transactions that add and change images, and the reads within them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import NamedTuple

from pixyproxy.adapters.sql.mapping import (
    IMAGE_COLUMNS,
    INSERT_IMAGE,
    changeable_values,
    claim_values,
    guid_key,
    new_row,
    result_values,
    to_image,
    to_time,
)
from pixyproxy.adapters.sql.search.id_range import latest_time, mark_restored_stragglers, mark_stragglers
from pixyproxy.adapters.sql.search.index_rows import insert_sources, insert_tags, insert_terms
from pixyproxy.adapters.sql.session import Session, in_list
from pixyproxy.domain.errors import ConstraintViolationError, IdempotencyKeyTakenError, ImageNotFoundError
from pixyproxy.domain.generation import ImageDraft
from pixyproxy.domain.image import Failure, Image, ImageChanges, ImageResult, Status

_BY_GUIDS = "FROM images WHERE images.guid IN "
_IDS_BY_GUIDS = "SELECT guid, id FROM images WHERE guid IN "
_READY = """UPDATE images SET status = 'ready', filename = :filename, filename_folded = :filename_folded,
    media_type = :media_type, width = :width, height = :height, size_bytes = :size_bytes, sha256 = :sha256,
    model = :model, revised_prompt = :revised_prompt, `usage` = :usage, reported = :reported,
    updated_at = :now, error_code = NULL, error_message = NULL, lease_owner = NULL, lease_expires_at = NULL
    WHERE guid = :guid"""
_FAILED = """UPDATE images SET status = :status, error_code = :code, error_message = :message, updated_at = :now,
    lease_owner = NULL, lease_expires_at = NULL WHERE guid = :guid"""
_UPDATE = """UPDATE images SET filename = :filename, filename_folded = :filename_folded, tags = :tags,
    visibility = :visibility, updated_at = :now WHERE guid = :guid"""
_FREE_CLAIM = """UPDATE images SET idempotency_caller = NULL, idempotency_key = NULL, request_fingerprint = NULL
    WHERE guid = :guid"""
_CLAIM = """UPDATE images SET idempotency_caller = :idempotency_caller, idempotency_key = :idempotency_key,
    request_fingerprint = :request_fingerprint WHERE guid = :guid"""


class Completion(NamedTuple):
    """The result of a generation, to be recorded."""

    guid: str
    result: ImageResult
    now: datetime


def find_all(session: Session, guids: Sequence[str], lock: str = "") -> dict[str, Image]:
    """Return the images that exist under these GUIDs, at least one, by GUID."""
    values, parameters = in_list([guid_key(guid) for guid in guids])
    rows = session.fetch_packed(IMAGE_COLUMNS, _BY_GUIDS + values + lock, parameters)
    return {image.guid: image for image in map(to_image, rows)}


def add_batches(session: Session, batches: Sequence[Sequence[ImageDraft]]) -> list[tuple[Image, ...]]:
    """Insert the images of several batches and the rows by which they are found."""
    drafts = [draft for batch in batches for draft in batch]
    # Keys of several images are claimed last: on MySQL, a transaction that waits for another's claim locks the place
    # in the index where rows without a key go, which would be a deadlock with an owner of the claim that inserts more.
    late = [draft for draft in drafts if draft.claim is not None and draft.claim.key is not None and len(drafts) > 1]
    rows = [new_row(draft.recorded(0), draft.lease, None if draft in late else draft.claim) for draft in drafts]
    ids = session.insert_each(INSERT_IMAGE, rows)
    images = [draft.recorded(image_id) for draft, image_id in zip(drafts, ids, strict=True)]
    insert_search_rows(session, images)
    for draft in late:
        session.change_later(_CLAIM, claim_values(draft.claim) | {"guid": draft.guid})
    mark_stragglers(session, [(image.id, image.request.created_at) for image in images])
    rest = iter(images)
    return [tuple(islice(rest, len(batch))) for batch in batches]


def insert_search_rows(session: Session, images: Sequence[Image]) -> None:
    """Insert the tags, search terms and sources of new images."""
    insert_tags(session, [(image.id, image.request.tags) for image in images])
    insert_terms(session, [(image.id, image.request.prompt) for image in images])
    insert_sources(session, [(image.id, image.request.derived_from) for image in images])


def ids_of(session: Session, guids: Sequence[str]) -> dict[str, int]:
    """Return the ids of the images that exist under these GUIDs, at least one, by GUID."""
    values, parameters = in_list([guid_key(guid) for guid in guids])
    return {guid: int(image_id) for guid, image_id in session.fetch(_IDS_BY_GUIDS + values, parameters)}


def restore_images(session: Session, images: Sequence[Image]) -> dict[str, int]:
    """Insert images, at least one, and return their ids by GUID."""
    latest = latest_time(session)
    session.insert_many(INSERT_IMAGE, map(new_row, images))
    ids = ids_of(session, [image.guid for image in images])
    added = [replace(image, id=ids[image.guid]) for image in images]
    insert_search_rows(session, added)
    mark_restored_stragglers(session, [(image.id, image.request.created_at) for image in added], latest)
    return ids


def find_added(session: Session, drafts: Sequence[ImageDraft]) -> tuple[Image, ...] | None:
    """Return the images of these drafts, or None unless all of them exist."""
    found = find_all(session, [draft.guid for draft in drafts])
    return tuple(found[draft.guid] for draft in drafts) if all(draft.guid in found for draft in drafts) else None


def check_claim(session: Session, drafts: Sequence[ImageDraft]) -> None:
    """After a violated constraint, raise IdempotencyKeyTakenError if it was the claim: none of the GUIDs exists."""
    guids = {draft.guid for draft in drafts}
    is_new = len(guids) == len(drafts) and not find_all(session, list(guids))
    claim = drafts[0].claim
    if is_new and claim is not None and claim.key is not None:
        raise IdempotencyKeyTakenError("The idempotency key is taken.")


def mark_ready(session: Session, completions: Sequence[Completion]) -> list[Image | None]:
    """Record results, unless exactly they are recorded already; return None for images that do not exist."""
    images = find_all(session, [completion.guid for completion in completions], session.row_lock)
    changed: dict[str, Image] = {}
    for guid, result, now in completions:
        if guid in images and (finished := images[guid].finished(result, now)) is not images[guid]:
            images[guid] = changed[guid] = finished
    rows = [
        changeable_values(image.request)
        | result_values(image)
        | {"guid": guid_key(image.guid), "now": to_time(image.updated_at)}
        for image in changed.values()
    ]
    session.change_each(_READY, rows)
    return [images.get(completion.guid) for completion in completions]


def mark_failed(session: Session, guid: str, status: Status, failure: Failure, now: datetime, free_key: bool) -> Image:
    """Record the reason why there is no picture.

    Raises:
        ConstraintViolationError: The image is ready.
    """
    image = _get(session, guid, session.row_lock)
    if image.status is Status.READY:
        raise ConstraintViolationError("The image is ready: it cannot turn into a failure.", guid=guid)
    values = {"status": status.value, "code": failure.code, "message": failure.message}
    session.change_later(_FAILED, values | {"guid": guid_key(guid), "now": to_time(now)})
    if free_key:
        session.change_later(_FREE_CLAIM, {"guid": guid_key(guid)})
    return _get(session, guid)


def update(session: Session, guid: str, changes: ImageChanges, now: datetime) -> Image:
    """Change the given fields."""
    image = _get(session, guid, session.row_lock)
    changed = image.changed(changes, now)
    session.change_later(_UPDATE, changeable_values(changed.request) | {"guid": guid_key(guid), "now": to_time(now)})
    if changed.request.tags != image.request.tags:
        session.change_later("DELETE FROM image_tags WHERE image_id = :image_id", {"image_id": image.id})
        insert_tags(session, [(image.id, changed.request.tags)])
    return _get(session, guid)


def missing() -> ImageNotFoundError:
    """Return the error for a GUID that no image has."""
    return ImageNotFoundError("There is no such image.")


def _get(session: Session, guid: str, lock: str = "") -> Image:
    images = find_all(session, [guid], lock)
    if guid not in images:
        raise missing()
    return images[guid]
