"""The outcome of an earlier submission, given again to one that repeats it."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from pixyproxy.application.generation.idempotency import claim_beside
from pixyproxy.application.generation.runner import GenerationRunner
from pixyproxy.application.generation.uncertainty import how_to_insist
from pixyproxy.domain.errors import ImageNotFoundError, ImageNotReadyError, ServiceStoppedError, recreate_error
from pixyproxy.domain.generation import GenerationOutcome, IdempotencyClaim
from pixyproxy.domain.image import UNDER_WAY, Image, Status
from pixyproxy.ports.clock import Clock
from pixyproxy.ports.image_repository import ImageRepository

_STORING_S = 60.0
"""Seconds that storing and recording may take beyond the deadline of the upstream call."""
_FIRST_POLL_S, _LONGEST_POLL_S = 0.05, 1.0


class EarlierSubmission(NamedTuple):
    """An image of an earlier submission, and the fingerprint of that."""

    image: Image
    fingerprint: str


class Replays:
    """Waits for the outcomes of earlier submissions, of this process or another, and repeats them."""

    def __init__(self, images: ImageRepository, runner: GenerationRunner, clock: Clock) -> None:
        self._images = images
        self._runner = runner
        self._clock = clock

    async def claimed(self, claim: IdempotencyClaim) -> tuple[IdempotencyClaim, EarlierSubmission | None]:
        """Return the submission that holds the key of a claim, or None and the claim to record.

        An anonymous key with the same request is the same from any address; with another request it is another
        caller's if the address is another.
        """
        found = await self._find(claim)
        if claim.holder is None or (found is not None and found.fingerprint == claim.fingerprint):
            return claim, found
        beside = claim_beside(claim)
        if (same := await self._find(beside)) is not None:
            return beside, same
        if (own := await self._images.find_held(claim.holder)) is not None:
            return claim, EarlierSubmission(*own)
        return (claim if found is None else beside), None

    async def _find(self, claim: IdempotencyClaim) -> EarlierSubmission | None:
        found = None if claim.key is None else await self._images.find_claimed(claim.caller, claim.key)
        return None if found is None else EarlierSubmission(*found)

    async def images_of(self, image: Image) -> tuple[Image, ...]:
        """Return all images of the call that an image belongs to."""
        batch = image.request.batch
        return (image,) if batch is None else await self._images.batch(batch)

    async def outcome(self, images: Sequence[Image], claim: IdempotencyClaim, wait: bool) -> GenerationOutcome:
        """Return the outcome of the call that makes these images, with `wait` once all are settled.

        Raises:
            PixyProxyException: the error of the call if none is made; without a key it says how to insist.
            ImageNotFoundError: if all were deleted.
        """
        if wait:
            images = [found for one in images if (found := await self._settled(one)) is not None]
        made = tuple(one for one in images if one.failure is None)
        if made:
            return GenerationOutcome(made, replayed=True)
        failed = next((one for one in images if one.failure is not None), None)
        if failed is None or failed.failure is None:
            raise ImageNotFoundError("The image was deleted.")
        error = recreate_error(failed.failure.code, failed.failure.message, failed.guid)
        error.replayed = True
        # A store that fails before anything is paid leaves no row; this one failed afterwards.
        error.may_have_been_paid |= failed.status is Status.UNKNOWN
        if claim.key is None and error.may_have_been_paid:
            error.advice = how_to_insist(failed.updated_at, self._clock.now())
        raise error

    async def _settled(self, image: Image) -> Image | None:
        """Wait for a generation that was begun by another call, here or in another process; None if it was deleted."""
        deadline = asyncio.get_running_loop().time() + self._runner.longest_s + _STORING_S
        delay_s = _FIRST_POLL_S
        try:
            if (task := self._runner.task_of(image.guid)) is not None:
                await asyncio.wait([task])
                image = await self._images.get(image.guid)
            while image.status in UNDER_WAY:
                if image.status is Status.QUEUED and self._runner.draining:
                    raise ServiceStoppedError("The service is stopping: the same request joins it.", guid=image.guid)
                if asyncio.get_running_loop().time() > deadline:
                    raise ImageNotReadyError("The image is still being made.", guid=image.guid, retry_after_s=5)
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 1.5, _LONGEST_POLL_S)
                image = await self._images.get(image.guid)
        except ImageNotFoundError:
            return None
        return image
