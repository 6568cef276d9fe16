"""Sidecars of images that were changed."""

import logging

from pixyproxy.application.generation.sidecar import sidecar_of
from pixyproxy.domain.errors import BlobStoreError, DBConnectionError, ImageNotFoundError
from pixyproxy.domain.image import Image
from pixyproxy.ports.blob_store import BlobStore
from pixyproxy.ports.image_repository import ImageRepository

logger = logging.getLogger(__name__)


async def update_sidecar(image: Image, images: ImageRepository, blobs: BlobStore) -> None:
    """Write the sidecar of a ready image whose row was changed; errors are logged, as the row has the change.

    An author and the staff may change an image at once, and write in another order than they changed the row. So the
    row is read again after each writing: whoever writes last writes the latest.
    """
    try:
        while True:
            await blobs.replace_sidecar(image.guid, sidecar_of(image))
            latest = await images.get(image.guid)
            if (latest.request, latest.result) == (image.request, image.result):
                return
            image = latest
    except ImageNotFoundError:
        pass  # deleted in the meantime
    except (BlobStoreError, DBConnectionError) as error:
        # Only a database rebuilt from sidecars would lack the change.
        logger.error("could not update the sidecar of image %s: %s", image.guid, error.message)
