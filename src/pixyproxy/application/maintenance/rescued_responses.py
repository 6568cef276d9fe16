"""The second look at rescued responses: a newer version may read a picture where an older one could not."""

from collections.abc import AsyncIterator

from pixyproxy.application.generation.recorder import OutcomeRecorder
from pixyproxy.application.maintenance.findings import BATCH, Action, Finding
from pixyproxy.domain.errors import ImageNotFoundError
from pixyproxy.domain.generation import GeneratedImage
from pixyproxy.domain.image import Image, Status
from pixyproxy.ports.blob_maintenance import BlobMaintenance
from pixyproxy.ports.image_generator import ImageGenerator
from pixyproxy.ports.image_repository import ImageRepository
from pixyproxy.ports.maintenance_repository import MaintenanceRepository


class RescuedResponses:
    """Reads rescued responses again and adopts the pictures in them; the rescued files stay."""

    def __init__(
        self,
        images: ImageRepository,
        maintenance: MaintenanceRepository,
        stored: BlobMaintenance,
        generator: ImageGenerator,
        recorder: OutcomeRecorder,
    ) -> None:
        self._images = images
        self._maintenance = maintenance
        self._stored = stored
        self._generator = generator
        self._recorder = recorder

    async def adopt(self, *, apply: bool) -> AsyncIterator[Finding]:
        """Adopt a picture for every image that is `unknown` and whose rescued response holds one."""
        guids = sorted(await self._stored.rescued_responses())
        for start in range(0, len(guids), BATCH):
            statuses = await self._maintenance.statuses(guids[start : start + BATCH])
            for guid, status in statuses.items():
                if status is not Status.UNKNOWN:
                    continue
                pictures = await self._pictures(guid)
                for image, picture in zip(await self._waiting(guid) if pictures else (), pictures, strict=False):
                    if not apply or await self._recorder.adopt(image, picture):
                        yield Finding(image.guid, "its rescued response holds a picture", Action.ADOPT)

    async def _pictures(self, guid: str) -> list[GeneratedImage]:
        return [
            picture
            for data in await self._stored.read_rescued_responses(guid)
            for picture in await self._generator.read_rescued(data)
            if await self._recorder.is_picture(picture)
        ]

    async def _waiting(self, guid: str) -> list[Image]:
        """Return the images of the call that have neither an outcome nor bytes, the named one first."""
        try:
            image = await self._images.get(guid)
        except ImageNotFoundError:
            return []
        batch = image.request.batch
        images = [image] if batch is None else sorted(await self._images.batch(batch), key=lambda one: one.guid != guid)
        sizes = await self._stored.sizes([one.guid for one in images])
        return [one for one in images if one.status is Status.UNKNOWN and one.guid not in sizes]
