"""Images in memory."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pixyproxy.adapters.memory.storage import MemoryStorage
from pixyproxy.domain.access import can_see, is_author
from pixyproxy.domain.errors import ConstraintViolationError, IdempotencyKeyTakenError, ImageNotFoundError
from pixyproxy.domain.image import Failure, Image, ImageChanges, ImageDraft, ImageResult, Status
from pixyproxy.domain.query import ImageQuery, Page, encode_cursor
from pixyproxy.domain.text import fold, index_terms
from pixyproxy.ports.image_repository import ImageRepository


class MemoryImageRepository(ImageRepository):
    """Remembers images in a storage object; opening and closing it change nothing.

    No method waits for anything, so on one event loop each is a transaction of itself.
    """

    def __init__(self, storage: MemoryStorage | None = None) -> None:
        self._storage = MemoryStorage() if storage is None else storage

    async def open(self) -> None:
        """Nothing is to be opened."""

    async def close(self) -> None:
        """Nothing is held that would have to be given back."""

    async def ping(self) -> None:
        """Memory always answers."""

    async def add(self, draft: ImageDraft) -> Image:
        """Keep the image under the next id."""
        if draft.guid in self._storage.images:
            raise ConstraintViolationError("There is an image with this GUID already.", guid=draft.guid)
        if draft.claim is not None:
            claim = (draft.claim.caller, draft.claim.key)
            if await self.find_claimed(*claim) is not None:
                raise IdempotencyKeyTakenError("The idempotency key is taken.")
            self._storage.claims[claim] = (draft.guid, draft.claim.fingerprint)
        self._storage.last_id += 1
        image = Image(
            id=self._storage.last_id,
            guid=draft.guid,
            filename=draft.filename,
            prompt=draft.prompt,
            tags=draft.tags,
            author=draft.author,
            visibility=draft.visibility,
            status=Status.GENERATING,
            created_at=draft.created_at.astimezone(UTC),
            updated_at=draft.created_at.astimezone(UTC),
            generator=draft.generator,
            model=draft.model,
            parameters=_json_copy(draft.parameters),
        )
        self._storage.leases[draft.guid] = (draft.lease_owner, draft.lease_expires_at)
        return self._keep(image)

    async def find_claimed(self, caller: str, key: str) -> tuple[Image, str] | None:
        """Look the claim up, and whether its image still exists."""
        guid, fingerprint = self._storage.claims.get((caller, key), ("", ""))
        image = self._storage.images.get(guid)
        return None if image is None else (image, fingerprint)

    async def mark_ready(self, guid: str, result: ImageResult, now: datetime) -> Image:
        """Keep the result, unless exactly it is kept already (the file name may have been changed since)."""
        image = self._find(guid)
        self._storage.leases.pop(guid, None)
        ready = replace(
            image,
            status=Status.READY,
            media_type=result.picture.media_type,
            width=result.picture.width,
            height=result.picture.height,
            size_bytes=result.size_bytes,
            sha256=result.sha256,
            model=result.model,
            revised_prompt=result.revised_prompt,
            usage=None if result.usage is None else _json_copy(result.usage),
            error=None,
        )
        return (
            image
            if ready == image
            else self._keep(replace(ready, filename=result.filename, updated_at=now.astimezone(UTC)))
        )

    async def mark_failed(
        self, guid: str, status: Status, failure: Failure, now: datetime, *, free_key: bool = False
    ) -> Image:
        """Keep the failure."""
        image = self._find(guid)
        if image.status is Status.READY:
            raise ConstraintViolationError("The image is ready: it cannot turn into a failure.", guid=guid)
        self._storage.leases.pop(guid, None)
        if free_key:
            claims = self._storage.claims
            for claim in [claim for claim, (holder, _) in claims.items() if holder == guid]:
                del claims[claim]
        return self._keep(replace(image, status=status, error=failure, updated_at=now.astimezone(UTC)))

    async def get(self, guid: str) -> Image:
        """Look the image up."""
        return self._find(guid)

    async def search(self, query: ImageQuery) -> Page:
        """Look through all images, newest first."""
        found = []
        for image in reversed(self._storage.images.values()):
            if _matches(image, query):
                found.append(image)
                if len(found) > query.limit:
                    break
        page = tuple(found[: query.limit])
        return Page(page, encode_cursor(page[-1].id) if len(found) > query.limit else None)

    async def update(self, guid: str, changes: ImageChanges, now: datetime) -> Image:
        """Replace the fields that are given."""
        image = self._find(guid)
        return self._keep(
            replace(
                image,
                filename=image.filename if changes.filename is None else changes.filename,
                tags=image.tags if changes.tags is None else changes.tags,
                visibility=changes.visibility or image.visibility,
                updated_at=now.astimezone(UTC),
            )
        )

    async def delete(self, guid: str) -> None:
        """Forget the image."""
        del self._storage.images[self._find(guid).guid]

    def _find(self, guid: str) -> Image:
        image = self._storage.images.get(guid)
        if image is None:
            raise ImageNotFoundError("There is no such image.")
        return image

    def _keep(self, image: Image) -> Image:
        self._storage.images[image.guid] = image
        return image


def _matches(image: Image, query: ImageQuery) -> bool:
    visible = can_see(image, query.viewer) if query.status is Status.READY else is_author(image, query.viewer)
    return (
        visible
        and image.status is query.status
        and (query.before_id is None or image.id < query.before_id)
        and query.guid in {None, image.guid}
        and query.author in {None, image.author}
        and query.visibility in {None, image.visibility}
        and (query.created_after is None or image.created_at > query.created_after)
        and (query.created_before is None or image.created_at < query.created_before)
        and (query.filename is None or query.filename in fold(image.filename))
        and set(query.tags) <= set(image.tags)
        and _has_terms(image.prompt, query.terms)
    )


def _has_terms(prompt: str, terms: tuple[str, ...]) -> bool:
    if not terms:
        return True
    indexed = index_terms(prompt)
    return all(any(word.startswith(term) for word in indexed) for term in terms)


def _json_copy(value: Mapping[str, Any]) -> dict[str, Any]:
    # What a caller does to its own mapping later must not reach what is kept.
    copy: dict[str, Any] = json.loads(json.dumps(dict(value)))
    return copy
