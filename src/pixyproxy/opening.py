"""The opening of all that a container holds, with errors that name the settings to correct."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from pixyproxy.containers import Container
from pixyproxy.domain.errors import PixyProxyException, StoreIdentityError
from pixyproxy.plugins import BlobStorage
from pixyproxy.ports.resource import Resource
from pixyproxy.settings import SettingsError


class PartError(PixyProxyException):
    """A part of the service without a setting cannot be opened; the message names the part."""

    code = "part-unavailable"


_WRITABLE = "It must be a folder that the service may write; now it is"


def _blob_settings(container: Container, name: str) -> tuple[str, str]:
    """Return the settings that a blob store depends on, and a sentence on how to mend them."""
    return {
        "filesystem": ("PIXYPROXY_IMAGES_DIR", f"{_WRITABLE} {container.config.images_dir()}."),
        "s3": ("S3_BUCKET, S3_ENDPOINT_URL, S3_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY", ""),
    }.get(name, ("PIXYPROXY_BLOB_STORE", ""))


@asynccontextmanager
async def opened_storage(container: Container, name: str) -> AsyncIterator[BlobStorage]:
    """Open the blob store of this name, which need not be the configured one, and close it.

    Raises:
        SettingsError: naming the settings that it depends on.
    """
    storage: BlobStorage = container.blob_storage.providers[name]()
    async with AsyncExitStack() as stack:
        for part in (storage.blobs, storage.maintenance):
            stack.push_async_callback(part.close)
            try:
                await part.open()
            except PixyProxyException as error:
                settings, remedy = _blob_settings(container, name)
                raise SettingsError(f"{settings}: {error.message} {remedy}".rstrip()) from error
        yield storage


@asynccontextmanager
async def opened(container: Container) -> AsyncIterator[Container]:
    """Open all parts in order and close them in reverse.

    Raises:
        SettingsError: naming the settings that a part depends on.
        PartError: if the part depends on no setting.
    """
    config = container.config()
    database = {
        "mysql": ("DB_HOST, DB_PORT, DB_USER, DB_PASSWORD, DB_NAME", ""),
        "sqlite": ("PIXYPROXY_DATA_DIR", f"{_WRITABLE} {config['data_dir']}."),
    }.get(config["repository"], ("PIXYPROXY_REPOSITORY", ""))
    blobs = _blob_settings(container, config["blob_store"])
    configured: list[tuple[tuple[str, str], Resource]] = [
        # Closed last, so that it exports what the others did.
        (("OTEL_BSP_…, OTEL_EXPORTER_OTLP_…", ""), container.tracer()),
        (database, container.image_repository()),
        (database, container.user_repository()),
        (database, container.api_key_repository()),
        (database, container.session_repository()),
        (database, container.maintenance_repository()),
        (database, container.ledger()),
        (blobs, container.blob_store()),
        (blobs, container.blob_maintenance()),
        (blobs, container.thumbnail_store()),
        (("PIXYPROXY_GENERATOR", ""), container.generator()),
    ]
    async with AsyncExitStack() as stack:
        for (settings, remedy), part in configured:
            stack.push_async_callback(part.close)
            try:
                await part.open()
            except PixyProxyException as error:
                raise SettingsError(f"{settings}: {error.message} {remedy}".rstrip()) from error
        parts = {
            "password hasher": container.hasher(),
            "picture scaler": container.scaler(),
            "counters of logins": container.moving_windows(),
        }
        for name, fixed in parts.items():
            stack.push_async_callback(fixed.close)
            try:
                await fixed.open()
            except PixyProxyException as error:
                raise PartError(f"The {name} cannot be opened: {error.message}") from error
        try:
            await asyncio.to_thread(container.secret)
        except PixyProxyException as error:
            raise SettingsError(f"PIXYPROXY_DATA_DIR, PIXYPROXY_SECRET_KEY: {error.message}") from error
        yield container


async def bind_store(container: Container) -> None:
    """Bind the opened blob store to the database, or check that they belong to each other.

    Raises:
        SettingsError: naming the settings that choose them, if they do not belong to each other.
    """
    try:
        await container.store_binding().bind()
    except StoreIdentityError as error:
        config = container.config()
        chosen_store = {"filesystem": "PIXYPROXY_IMAGES_DIR", "s3": "S3_BUCKET, S3_PREFIX"}
        blobs = chosen_store.get(config["blob_store"], "PIXYPROXY_BLOB_STORE")
        database = {"mysql": "DB_HOST, DB_NAME", "sqlite": "PIXYPROXY_DATA_DIR"}
        chosen = database.get(config["repository"], "PIXYPROXY_REPOSITORY")
        raise SettingsError(f"{blobs}, {chosen}: {error.message}") from error
