"""The transactions that add and change images, and the reads within them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from itertools import islice
from typing import NamedTuple

from pixyproxy.adapters.sql.mapping import (
    HIDDEN,
    IMAGE_COLUMNS,
    INSERT_IMAGE,
    changeable_values,
    claim_values,
    guid_key,
    new_row,
    result_values,
    to_image,
    to_json,
    to_time,
)
from pixyproxy.adapters.sql.money.charges import add_charges, change_charges, find_charges, reserve
from pixyproxy.adapters.sql.money.highest_costs import raise_highest_costs
from pixyproxy.adapters.sql.search.hidden import seen_by, staff_parameters
from pixyproxy.adapters.sql.search.id_range import latest_time, mark_restored_stragglers, mark_stragglers
from pixyproxy.adapters.sql.search.postings import change_postings, insert_postings
from pixyproxy.adapters.sql.session import Session, in_list
from pixyproxy.domain.access import Staff, Viewer, can_see, username_of
from pixyproxy.domain.errors import ConstraintViolationError, IdempotencyKeyTakenError, ImageNotFoundError
from pixyproxy.domain.generation import ImageDraft
from pixyproxy.domain.image import Failure, Image, ImageChanges, ImageResult, Status
from pixyproxy.domain.money.charges import Charge, charged_image, require_unsettled, settled_image

_BY_GUIDS = "FROM images WHERE images.guid IN "
_IDS_BY_GUIDS = "SELECT guid, id FROM images WHERE guid IN "
_READY = """UPDATE images SET status = 'ready', filename = :filename, filename_folded = :filename_folded,
    media_type = :media_type, width = :width, height = :height, size_bytes = :size_bytes, sha256 = :sha256,
    model = :model, revised_prompt = :revised_prompt, `usage` = :usage, reported = :reported, cost = :cost,
    updated_at = :now, error_code = NULL, error_message = NULL WHERE guid = :guid"""
_FAILED = """UPDATE images SET status = :status, error_code = :code, error_message = :message, updated_at = :now,
    cost = :cost, lease_owner = NULL, lease_expires_at = NULL WHERE guid = :guid"""
_UPDATE = """UPDATE images SET filename = :filename, filename_folded = :filename_folded, tags = :tags,
    visibility = :visibility, hidden = :hidden, updated_at = :now WHERE guid = :guid"""
_FREE_CLAIM = """UPDATE images SET idempotency_caller = NULL, idempotency_key = NULL, idempotency_holder = NULL,
    request_fingerprint = NULL WHERE guid = :guid"""
_CLAIM = """UPDATE images SET idempotency_caller = :idempotency_caller, idempotency_key = :idempotency_key,
    idempotency_holder = :idempotency_holder, request_fingerprint = :request_fingerprint WHERE guid = :guid"""

_OVERLOOKED = """SELECT charges.guid FROM charges JOIN images ON images.guid = charges.guid
    WHERE charges.state = 'reserved' AND images.status IN ('ready', 'failed', 'unknown') LIMIT 500"""
_SET_COST = "UPDATE images SET cost = :cost WHERE guid = :guid"


class Completion(NamedTuple):
    """The result of a generation, to be recorded."""

    guid: str
    result: ImageResult
    now: datetime


def find_all(session: Session, guids: Sequence[str], lock: str = "") -> dict[str, Image]:
    """Return the images that exist under these GUIDs, at least one, by GUID."""
    values, parameters = in_list([guid_key(guid) for guid in guids])
    rows = session.fetch_packed(IMAGE_COLUMNS, [_BY_GUIDS + values + lock], parameters)
    return {image.guid: image for image in map(to_image, rows)}


def find_all_visible(session: Session, keys: Sequence[tuple[str, Viewer]]) -> dict[tuple[str, Viewer], Image]:
    """Return the images, by GUID and viewer, at least one of each, that exist and that the viewer may see.

    An index that holds who may see them keeps the rows of others from being read.
    """
    rows = f"FROM images{session.by_index('images_access')} WHERE images.guid IN "
    values, parameters = in_list(sorted({guid_key(guid) for guid, _ in keys}))
    parts = [f"{rows}{values} AND images.visibility = 'public'"]
    names = [(guid, username_of(viewer)) for guid, viewer in keys]
    for i, name in enumerate(sorted({name for _, name in names if name is not None})):
        values, own = in_list([guid_key(guid) for guid, other in names if other == name], f"own_{i}_")
        # Two parts: with IN, SQLite takes another way through the index where it finds the GUID.
        parts += [
            f"{rows}{values} AND images.visibility = '{visibility}' AND images.author = :viewer_{i}"
            for visibility in ("private", HIDDEN)
        ]
        parameters = {**parameters, **own, f"viewer_{i}": name}
    found = {image.guid: image for image in map(to_image, session.fetch_packed(IMAGE_COLUMNS, parts, parameters))}
    visible = {key: found[key[0]] for key in keys if key[0] in found and can_see(found[key[0]], key[1])}
    left: dict[Staff, list[str]] = {}
    for guid, viewer in keys:
        if isinstance(viewer, Staff) and (guid, viewer) not in visible:
            left.setdefault(viewer, []).append(guid)
    for staff, guids in left.items():
        visible |= {(image.guid, staff): image for image in _find_hidden(session, rows, guids, staff)}
    return visible


def _find_hidden(session: Session, rows: str, guids: Sequence[str], staff: Staff) -> list[Image]:
    """Return the hidden ones of these images that the staff may see."""
    values, parameters = in_list([guid_key(guid) for guid in guids])
    condition = " AND ".join((f"{rows}{values} AND images.visibility = '{HIDDEN}'", *seen_by(staff, "staff_class")))
    found = session.fetch_packed(IMAGE_COLUMNS, [condition], {**parameters, **staff_parameters(staff, "staff_class")})
    return list(map(to_image, found))


def add_batches(session: Session, batches: Sequence[Sequence[ImageDraft]]) -> list[tuple[Image, ...]]:
    """Insert the images of several batches and the rows by which they are found."""
    drafts = [draft for batch in batches for draft in batch]
    # Keys of several images are claimed last: on MySQL, a transaction that waits for another's claim locks the place
    # in the index where rows without a key go, which would be a deadlock with an owner of the claim that inserts more.
    late = [draft for draft in drafts if draft.claim is not None and draft.claim.key is not None and len(drafts) > 1]
    rows = [
        new_row(draft.recorded(0), draft.lease, None if draft in late else draft.claim, draft.queued_call)
        for draft in drafts
    ]
    ids = session.insert_each(INSERT_IMAGE, rows)
    images = [draft.recorded(image_id) for draft, image_id in zip(drafts, ids, strict=True)]
    insert_postings(session, images)
    for draft in late:
        session.change_later(_CLAIM, claim_values(draft.claim) | {"guid": draft.guid})
    mark_stragglers(session, images)
    reserve(session, drafts)
    rest = iter(images)
    return [tuple(islice(rest, len(batch))) for batch in batches]


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
    insert_postings(session, added)
    if charges := [charge for image in added if (charge := Charge.restored(image)) is not None]:
        add_charges(session, charges)
    mark_restored_stragglers(session, added, latest)
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
    """Record results, unless exactly they are recorded already; return None for images that do not exist.

    What the pictures cost is recorded in any case.
    """
    images = find_all(session, [completion.guid for completion in completions], session.row_lock)
    results = {completion.guid: completion.result for completion in completions}
    charges = change_charges(session, {guid: partial(Charge.finished, result=one) for guid, one in results.items()})
    pictures = [(charges[guid], image.request.parameters) for guid, image in images.items() if guid in charges]
    raise_highest_costs(session, pictures)
    before = dict(images)
    changed: dict[str, Image] = {}
    for guid, result, now in completions:
        if guid in charges:
            result = replace(result, cost=charges[guid].cost)
        if guid in images and (finished := images[guid].finished(result, now)) is not images[guid]:
            images[guid] = changed[guid] = finished
    rows = [
        changeable_values(image.request)
        | result_values(image)
        | {"guid": guid_key(image.guid), "now": to_time(image.updated_at)}
        for image in changed.values()
    ]
    session.change_each(_READY, rows)
    for guid, image in changed.items():
        change_postings(session, before[guid], image)
    return [images.get(completion.guid) for completion in completions]


def mark_failed(
    session: Session, guid: str, status: Status, failure: Failure, now: datetime, free_key: bool
) -> Image | None:
    """Record the reason why there is no picture; return None if the image does not exist, whose charge ends too.

    Raises:
        ConstraintViolationError: The image is ready.
    """
    image = find_all(session, [guid], session.row_lock).get(guid)
    if image is not None and image.status is Status.READY:
        raise ConstraintViolationError("The image is ready: it cannot turn into a failure.", guid=guid)
    charge = change_charges(session, {guid: lambda charge: charge.failed(status)}).get(guid)
    if image is None:
        return None
    _write_failure(
        session, image, image.failed(status, failure, now, None if charge is None else charge.cost), free_key
    )
    return _get(session, guid)


def settle(session: Session, guid: str, billed_usd: Decimal, now: datetime) -> Image | None:
    """Record what a person says was billed for an `unknown` image; return None if only its charge is left."""
    image = find_all(session, [guid], session.row_lock).get(guid)
    charge = find_charges(session, [guid]).get(guid)
    unsettled = require_unsettled(image, charge)
    if charge is None:
        add_charges(session, [unsettled])
    charge = change_charges(session, {guid: lambda charge: charge.settled(billed_usd)})[guid]
    if image is None:
        return None
    _write_failure(session, image, settled_image(image, charge, now), free_key=not billed_usd)
    return _get(session, guid)


def end_overlooked(session: Session) -> int:
    """End charges that are still reserved and whose image has ended, and give the images their cost."""
    guids = [guid for (guid,) in session.fetch(_OVERLOOKED, {})]
    images = find_all(session, guids, session.row_lock) if guids else {}
    if not images:
        return 0
    charges = change_charges(session, {guid: partial(Charge.ended_as, image=image) for guid, image in images.items()})
    for guid, charge in charges.items():
        cost = charged_image(images[guid], charge).cost
        values = {"guid": guid_key(guid), "cost": None if cost is None else to_json(cost.as_json())}
        session.change_later(_SET_COST, values)
    return len(charges)


def _write_failure(session: Session, before: Image, image: Image, free_key: bool) -> None:
    change_postings(session, before, image)
    values = {
        "status": image.status.value,
        "code": None if image.failure is None else image.failure.code,
        "message": None if image.failure is None else image.failure.message,
        "cost": None if image.cost is None else to_json(image.cost.as_json()),
        "now": to_time(image.updated_at),
    }
    session.change_later(_FAILED, values | {"guid": guid_key(image.guid)})
    if free_key:
        session.change_later(_FREE_CLAIM, {"guid": guid_key(image.guid)})


def update(session: Session, guid: str, changes: ImageChanges, now: datetime) -> Image:
    """Change the given fields."""
    image = _get(session, guid, session.row_lock)
    changed = image.changed(changes, now)
    session.change_later(_UPDATE, changeable_values(changed.request) | {"guid": guid_key(guid), "now": to_time(now)})
    change_postings(session, image, changed)
    return _get(session, guid)


def missing() -> ImageNotFoundError:
    """Return the error for a GUID that no image has."""
    return ImageNotFoundError("There is no such image.")


def _get(session: Session, guid: str, lock: str = "") -> Image:
    images = find_all(session, [guid], lock)
    if guid not in images:
        raise missing()
    return images[guid]
