"""From an order to its pictures: join or replay what was ordered before, else have them made, once."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from pixyproxy.application.generation.edit_sources import EditSources
from pixyproxy.application.generation.idempotency import ClaimLocks, UnpaidFailures, claim_of
from pixyproxy.application.generation.runner import GenerationRunner
from pixyproxy.domain.errors import (
    BlobStoreError,
    DataValidationError,
    EditingUnsupportedError,
    IdempotencyKeyReusedError,
    IdempotencyKeyTakenError,
    ImageNotFoundError,
    ImageNotReadyError,
    recreate_error,
)
from pixyproxy.domain.filename import filename_for
from pixyproxy.domain.generation import GenerationRequest, IdempotencyClaim, ImageDraft
from pixyproxy.domain.image import Image, ImageRequest, Status, Visibility, new_guid
from pixyproxy.ports.clock import Clock
from pixyproxy.ports.image_generator import OnPartial
from pixyproxy.ports.image_repository import ImageRepository

RETRY_WINDOW = timedelta(minutes=15)
"""How long after its end a generation is still what a retry without a key means."""
_STORING_S = 60.0
"""How much longer than the upstream's deadline a process may take to store what it got, in seconds."""
_FIRST_POLL_S, _LONGEST_POLL_S = 0.05, 1.0
_CLAIM_TRIES = 3
"""How often a key is tried for that others claim and give back because their generation failed."""
_PERSONAL = frozenset({"user", "safety_identifier"})
"""Options that name a person to the generator: passed on, and not recorded with an image that may be public."""


@dataclass(frozen=True, slots=True)
class GenerationOutcome:
    """The images that an order got, at least one; `replayed` if an earlier order had them made.

    `pictures` holds, by GUID, the bytes of those that were made just now.
    """

    images: tuple[Image, ...]
    replayed: bool
    pictures: Mapping[str, bytes] = field(default_factory=dict, repr=False, compare=False)

    @property
    def image(self) -> Image:
        """The first, which is the only one unless more were ordered."""
        return self.images[0]


@dataclass(frozen=True, slots=True)
class Submission:
    """What is to be made, and for whom (None: an anonymous caller); None leaves a choice to the generator or to us."""

    viewer: str | None
    prompt: str
    model: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    n: int = 1
    tags: list[str] | None = None
    visibility: Visibility | None = None
    filename: str | None = None
    inputs: EditSources = field(default_factory=EditSources)

    def canonical(self) -> dict[str, Any]:
        """The order as JSON types: equal for orders of the same pictures."""
        pictures = {
            "image": [image.sha256 for image in self.inputs.images],
            "attachments": {name: image.sha256 for name, image in self.inputs.attachments.items()},
            "derived_from": list(self.inputs.derived_from),
        }
        ours = {
            "prompt": self.prompt,
            "model": self.model,
            "n": None if self.n == 1 else self.n,
            "tags": self.tags,
            "visibility": self.visibility,
            "filename": self.filename,
            "inputs": pictures if self.inputs.images else None,
        }
        return {**self.options, **{name: value for name, value in ours.items() if value is not None}}


class Submitter:
    """Places orders; see `ImageService.create` for what it promises and raises."""

    def __init__(self, images: ImageRepository, generations: GenerationRunner, clock: Clock) -> None:
        self._images = images
        self._generations = generations
        self._clock = clock
        self._claims = ClaimLocks()
        self._unmade = UnpaidFailures(clock)

    async def place(
        self,
        order: Submission,
        *,
        idempotency_key: str | None = None,
        retried: bool = False,
        wait: bool = True,
        on_partial: OnPartial | None = None,
    ) -> GenerationOutcome:
        """Get the pictures of an order; its inputs are closed when they are no longer needed.

        With `retried` and without a key, an order like it of the same caller is joined that is being made or was
        settled within `RETRY_WINDOW`, unless another one has come to nothing since, at no cost.
        """
        taken_over = False
        try:
            _check(order, can_edit=self._generations.can_edit, generator=self._generations.generator_name)
            claim = claim_of(order.viewer, idempotency_key, order.canonical())
            for _ in range(_CLAIM_TRIES):
                async with self._claims.hold(claim):
                    earlier = await self._earlier(claim, retried)
                    if earlier is None:
                        drafts = self._drafts(order, claim)
                        try:
                            with self._unmade.noted(claim):
                                running = await self._generations.start(
                                    drafts,
                                    _request(order),
                                    on_partial=on_partial,
                                )
                        except IdempotencyKeyTakenError:
                            continue
                        except asyncio.CancelledError:
                            # It goes on, and reads its inputs.
                            taken_over = self._close_after(self._generations.task_of(drafts[0].guid), order)
                            raise
                if earlier is not None:
                    return await self._repeat(*earlier, claim, wait)
                taken_over = self._close_after(running.task, order)
                if not wait:
                    return GenerationOutcome(running.images, replayed=False)
                with self._unmade.noted(claim):
                    ready = await running.result()
                return GenerationOutcome(
                    tuple(one.image for one in ready),
                    replayed=False,
                    pictures={one.image.guid: one.data for one in ready},
                )
            raise IdempotencyKeyTakenError("Other requests with this key keep failing: try again later.")
        finally:
            if not taken_over:
                order.inputs.close()

    @staticmethod
    def _close_after(task: asyncio.Task[Any] | None, order: Submission) -> bool:
        """Have the inputs closed when a generation ends; False if none is running."""
        if task is None or task.done():
            return False
        task.add_done_callback(lambda _: order.inputs.close())
        return True

    async def _earlier(self, claim: IdempotencyClaim, retried: bool) -> tuple[Image, str] | None:
        """The image of an order that this one repeats, and the fingerprint of that."""
        if claim.key is not None:
            return await self._images.find_claimed(claim.caller, claim.key)
        if not retried:
            return None
        since = self._unmade.since(claim, self._clock.now() - RETRY_WINDOW)
        image = await self._images.find_recent(claim.caller, claim.fingerprint, since)
        return None if image is None else (image, claim.fingerprint)

    async def _repeat(self, image: Image, fingerprint: str, claim: IdempotencyClaim, wait: bool) -> GenerationOutcome:
        """What an order gets that was placed before."""
        if fingerprint != claim.fingerprint:
            raise IdempotencyKeyReusedError(
                "This Idempotency-Key was used for another request: use a new key for a new picture."
            )
        images = [image] if image.request.batch is None else list(await self._images.batch(image.request.batch))
        if wait:
            images = [found for one in images if (found := await self._settled(one)) is not None]
        made = tuple(one for one in images if one.failure is None)
        if made:
            return GenerationOutcome(made, replayed=True)
        failed = next((one for one in images if one.failure is not None), None)
        if failed is None or failed.failure is None:
            raise ImageNotFoundError("The image was deleted.", guid=image.guid)
        error = recreate_error(failed.failure.code, failed.failure.message, failed.guid)
        error.replayed = True
        # A store fails before anything is paid, and then there is no row, or afterwards.
        error.may_have_been_paid |= failed.status is Status.UNKNOWN or isinstance(error, BlobStoreError)
        raise error

    async def _settled(self, image: Image) -> Image | None:
        """Wait for a generation that somebody else began, here or in another process; None if it was deleted."""
        deadline = asyncio.get_running_loop().time() + self._generations.timeout_s + _STORING_S
        delay_s = _FIRST_POLL_S
        try:
            if (task := self._generations.task_of(image.guid)) is not None:
                await asyncio.wait([task])
                image = await self._images.get(image.guid)
            while image.status is Status.GENERATING:
                if asyncio.get_running_loop().time() > deadline:
                    raise ImageNotReadyError("The image is still being made.", guid=image.guid, retry_after_s=5)
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 1.5, _LONGEST_POLL_S)
                image = await self._images.get(image.guid)
        except ImageNotFoundError:
            return None
        return image

    def _drafts(self, order: Submission, claim: IdempotencyClaim) -> list[ImageDraft]:
        lease = self._generations.lease()
        now = self._clock.now()
        guids = [new_guid() for _ in range(order.n)]
        wanted = order.options.get("output_format")
        media_type = f"image/{wanted if isinstance(wanted, str) else 'png'}".lower().replace("/jpg", "/jpeg")
        recorded = {name: value for name, value in order.options.items() if name not in _PERSONAL}
        if order.n > 1:
            recorded["n"] = order.n
        return [
            ImageDraft(
                ImageRequest(
                    guid=guid,
                    filename=order.filename or filename_for(order.prompt, guid, media_type),
                    prompt=order.prompt,
                    tags=tuple(order.tags or ()),
                    author=order.viewer,
                    visibility=order.visibility or Visibility.PUBLIC,
                    generator=self._generations.generator_name,
                    model=order.model,
                    parameters=recorded,
                    created_at=now,
                    derived_from=order.inputs.derived_from,
                    batch=guids[0] if order.n > 1 else None,
                ),
                lease,
                claim if guid == guids[0] else None,
            )
            for guid in guids
        ]


def _check(order: Submission, *, can_edit: bool, generator: str) -> None:
    if order.viewer is None and order.visibility is Visibility.PRIVATE:
        message = "must be public for an anonymous caller: log in to make a private image"
        raise DataValidationError.at(("visibility",), message)
    if order.inputs.images and not can_edit:
        raise EditingUnsupportedError(
            f"The generator {generator!r} makes pictures from prompts only: it cannot edit images."
        )


def _request(order: Submission) -> GenerationRequest:
    return GenerationRequest(
        prompt=order.prompt,
        model=order.model,
        options=order.options,
        n=order.n,
        images=order.inputs.images,
        attachments=order.inputs.attachments,
    )
