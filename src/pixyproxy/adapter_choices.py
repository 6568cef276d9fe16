"""The adapters that settings choose from, each created by a function.

A function imports its adapters when it is called, so that those not chosen cost neither time nor memory. Only this
module and `containers` name adapters.
"""

import secrets
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pixyproxy.plugins import BlobStorage, Repositories
from pixyproxy.ports.clock import Clock
from pixyproxy.ports.image_generator import ImageGenerator
from pixyproxy.ports.money.price_list import PriceList
from pixyproxy.ports.moving_windows import MovingWindows
from pixyproxy.ports.observation.metrics import Metrics
from pixyproxy.ports.row_copier import RowCopier
from pixyproxy.settings import Settings, SettingsError

if TYPE_CHECKING:
    from pixyproxy.adapters.memory.storage import MemoryStorage
    from pixyproxy.adapters.mysql.database import MySQLDatabase
    from pixyproxy.adapters.sql.database import SQLDatabase
    from pixyproxy.adapters.sqlite.database import SQLiteDatabase

OPENAI_URL = "https://api.openai.com/v1"


def sqlite_database(settings: Settings) -> "SQLiteDatabase":
    """Return the database in a file below the data folder."""
    from pixyproxy.adapters.sqlite.database import SQLiteDatabase

    return SQLiteDatabase(settings.data_dir / "pixyproxy.sqlite3")


def sqlite_repositories(database: "SQLiteDatabase") -> Repositories:
    """Return the repositories of a SQLite database."""
    from pixyproxy.adapters.sqlite.migrations import migrate

    return _sql_repositories(database, partial(migrate, database.path))


def mysql_database(settings: Settings) -> "MySQLDatabase":
    """Return the database on a MySQL or MariaDB server."""
    from pixyproxy.adapters.mysql.database import MySQLDatabase

    return MySQLDatabase(
        settings.db_host or "",
        settings.db_port,
        settings.db_user or "",
        settings.db_password.get_secret_value(),
        settings.db_name,
        ssl_ca=None if settings.db_ssl_ca is None else str(settings.db_ssl_ca),
        pool_size=settings.db_pool_size,
    )


def mysql_repositories(database: "MySQLDatabase") -> Repositories:
    """Return the repositories of a MySQL database."""
    from pixyproxy.adapters.mysql.migrations import migrate

    return _sql_repositories(database, partial(migrate, database.server))


def _sql_repositories(database: "SQLDatabase", migrate: Callable[..., Awaitable[list[str]]]) -> Repositories:
    from pixyproxy.adapters.sql.repositories.api_key_repository import SQLApiKeyRepository
    from pixyproxy.adapters.sql.repositories.image_repository import SQLImageRepository
    from pixyproxy.adapters.sql.repositories.ledger import SQLLedger
    from pixyproxy.adapters.sql.repositories.maintenance_repository import SQLMaintenanceRepository
    from pixyproxy.adapters.sql.repositories.session_repository import SQLSessionRepository
    from pixyproxy.adapters.sql.repositories.user_repository import SQLUserRepository

    return Repositories(
        SQLImageRepository(database),
        SQLMaintenanceRepository(database),
        SQLUserRepository(database),
        SQLApiKeyRepository(database),
        SQLLedger(database),
        SQLSessionRepository(database),
        migrate,
    )


def row_copier(source: "SQLDatabase", target: "SQLDatabase") -> RowCopier:
    """Return a copier of rows from one SQL database to another."""
    from pixyproxy.adapters.sql.copying.row_copier import SQLRowCopier

    return SQLRowCopier(source, target)


def memory_storage() -> "MemoryStorage":
    """Return a storage that is forgotten at exit."""
    from pixyproxy.adapters.memory.storage import MemoryStorage

    return MemoryStorage()


def memory_repositories(storage: "MemoryStorage") -> Repositories:
    """Return repositories that forget everything at exit."""
    from pixyproxy.adapters.memory.api_key_repository import MemoryApiKeyRepository
    from pixyproxy.adapters.memory.image_repository import MemoryImageRepository
    from pixyproxy.adapters.memory.ledger import MemoryLedger
    from pixyproxy.adapters.memory.maintenance_repository import MemoryMaintenanceRepository
    from pixyproxy.adapters.memory.session_repository import MemorySessionRepository
    from pixyproxy.adapters.memory.user_repository import MemoryUserRepository

    return Repositories(
        MemoryImageRepository(storage),
        MemoryMaintenanceRepository(storage),
        MemoryUserRepository(storage),
        MemoryApiKeyRepository(storage),
        MemoryLedger(storage),
        MemorySessionRepository(storage),
    )


def filesystem_blob_storage(settings: Settings, rescue_dirs: Sequence[Path]) -> BlobStorage:
    """Return a storage in the images folder; bytes that it cannot store go to one of `rescue_dirs`."""
    from pixyproxy.adapters.filesystem.blob_maintenance import FilesystemBlobMaintenance
    from pixyproxy.adapters.filesystem.blob_store import FilesystemBlobStore
    from pixyproxy.adapters.filesystem.durable_files import SystemCalls, former_rescue_dirs, group_id
    from pixyproxy.adapters.filesystem.thumbnail_store import FilesystemThumbnailStore

    try:
        calls = SystemCalls(None if settings.files_group is None else group_id(settings.files_group))
    except ValueError as error:
        raise SettingsError(f"PIXYPROXY_FILES_GROUP: {error}; name a group that it is in") from None
    return BlobStorage(
        FilesystemBlobStore(settings.images_dir, rescue_dirs=rescue_dirs, calls=calls),
        FilesystemBlobMaintenance(
            settings.images_dir, rescue_dirs=(*rescue_dirs, *former_rescue_dirs(calls)), calls=calls
        ),
        FilesystemThumbnailStore(settings.images_dir, calls=calls),
    )


def s3_blob_storage(settings: Settings, rescue_dir: Path) -> BlobStorage:
    """Return a storage in a bucket; bytes that it cannot store go to `rescue_dir`."""
    from pixyproxy.adapters.filesystem.rescue.rescue_folder import RescueFolder
    from pixyproxy.adapters.s3.blob_maintenance import S3BlobMaintenance
    from pixyproxy.adapters.s3.blob_store import S3BlobStore
    from pixyproxy.adapters.s3.bucket import S3Location
    from pixyproxy.adapters.s3.thumbnail_store import S3ThumbnailStore

    location = S3Location(
        settings.s3_bucket or "",
        settings.s3_prefix,
        settings.s3_endpoint_url,
        settings.s3_region,
        settings.aws_access_key_id,
        settings.aws_secret_access_key.get_secret_value() or None,
    )
    return BlobStorage(
        S3BlobStore(location, RescueFolder(rescue_dir), signs_addresses=settings.s3_delivery == "redirect"),
        S3BlobMaintenance(location, RescueFolder(rescue_dir)),
        S3ThumbnailStore(location),
    )


def memory_blob_storage() -> BlobStorage:
    """Return a storage that forgets everything at exit."""
    from pixyproxy.adapters.memory.blob_maintenance import MemoryBlobMaintenance
    from pixyproxy.adapters.memory.blob_store import MemoryBlobStore, Stored
    from pixyproxy.adapters.memory.thumbnail_store import MemoryThumbnailStore

    storage: dict[str, Stored] = {}
    return BlobStorage(MemoryBlobStore(storage), MemoryBlobMaintenance(storage), MemoryThumbnailStore())


def moving_windows(settings: Settings, clock: Clock) -> MovingWindows:
    """Return counters in Redis if there is a URL, else in a file for several workers, else in this process.

    Raises:
        SettingsError: if the client of Redis is not installed.
    """
    from pixyproxy.adapters.limits.moving_windows import LimitsMovingWindows

    if settings.limits_url is not None:
        try:
            from pixyproxy.adapters.limits.redis_storage import RedisWindowStorage
        except ImportError:
            raise SettingsError(
                "PIXYPROXY_LIMITS_URL: needs the client of Redis: run `pip install 'pixyproxy[redis]'`"
            ) from None
        return LimitsMovingWindows(clock, partial(RedisWindowStorage, settings.limits_url.get_secret_value()))
    if settings.workers > 1:
        from pixyproxy.adapters.limits.sqlite_storage import SQLiteWindowStorage

        return LimitsMovingWindows(clock, partial(SQLiteWindowStorage, settings.data_dir / "limits.sqlite3", clock))
    return LimitsMovingWindows(clock)


def metrics(folder: Path | None, worker: int) -> Metrics:
    """Return metrics that the workers count together in a folder, or those of this process."""
    if folder is not None:
        from pixyproxy.adapters.prometheus.shared_files import share

        folder = folder if share(folder, worker) else None
    from pixyproxy.adapters.prometheus.metrics import PrometheusMetrics

    return PrometheusMetrics(folder)


def sketch_generator() -> ImageGenerator:
    """Return the generator that draws offline."""
    from pixyproxy.adapters.sketch.image_generator import SketchImageGenerator

    return SketchImageGenerator()


def openai_generator(settings: Settings) -> ImageGenerator:
    """Return the generator that calls OpenAI's images API."""
    from pixyproxy.adapters.openai.image_generator import OpenAIImageGenerator
    from pixyproxy.adapters.openai.picture_hosts import PictureHost
    from pixyproxy.adapters.opentelemetry.propagation import trace_fields

    try:
        picture_hosts = tuple(map(PictureHost.parse, settings.openai_picture_hosts))
    except ValueError as error:
        raise SettingsError(f"OPENAI_PICTURE_HOSTS: {error}") from None
    return OpenAIImageGenerator(
        settings.openai_api_key.get_secret_value(),
        settings.openai_base_url,
        settings.openai_model,
        timeout_s=settings.generation_timeout_s,
        picture_hosts=picture_hosts,
        trace_fields=trace_fields,
    )


def price_list(settings: Settings, *, of_models: bool = False) -> PriceList:
    """Return the prices of what the generator makes, or `of_models` of the upstream, whatever the generator.

    The sketch is free, whatever model a request names.
    """
    from pixyproxy.adapters.prices.genai_price_list import GenaiPriceList
    from pixyproxy.adapters.prices.price_file import PriceEntry, PriceFileError, read_price_file

    try:
        entries = () if settings.prices is None else read_price_file(settings.prices)
    except PriceFileError as error:
        raise SettingsError(f"PIXYPROXY_PRICES: {error}") from None
    if settings.generator == "sketch" and not of_models:
        return GenaiPriceList([PriceEntry("*", "sketch", free=True)], "sketch", None)
    if settings.generator in {"sketch", "openai"}:
        entries = (*entries, PriceEntry("sketch", "sketch", free=True))
        return GenaiPriceList(entries, settings.openai_model, settings.openai_base_url or OPENAI_URL)
    # Other generators may take any name for a model, and have theirs in the operator's file.
    return GenaiPriceList(entries, settings.generator, None)


def secret(key: str, path: Path | None) -> bytes:
    """Return the configured secret key, else the one in the file; without a file, one for this process only."""
    from pixyproxy.adapters.filesystem.secret_file import read_or_create_secret

    if key:
        return key.encode()
    return secrets.token_bytes(32) if path is None else read_or_create_secret(path)


async def migrate(repositories: Repositories, **reporters: Callable[[str], None]) -> list[str]:
    """Apply the migrations of the database that is configured; return the names of the scripts applied."""
    return await repositories.migrate(**reporters)
