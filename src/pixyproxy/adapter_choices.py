"""The adapters that settings choose from, each created by a function.

A function imports its adapters when it is called, so that those not chosen cost neither time nor memory. Only this
module and `containers` name adapters.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pixyproxy.plugins import BlobStorage, Repositories
from pixyproxy.ports.image_generator import ImageGenerator
from pixyproxy.settings import Settings, SettingsError

if TYPE_CHECKING:
    from pixyproxy.adapters.memory.storage import MemoryStorage
    from pixyproxy.adapters.mysql.database import MySQLDatabase
    from pixyproxy.adapters.sql.database import SQLDatabase
    from pixyproxy.adapters.sqlite.database import SQLiteDatabase


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
    from pixyproxy.adapters.sql.repositories.maintenance_repository import SQLMaintenanceRepository
    from pixyproxy.adapters.sql.repositories.user_repository import SQLUserRepository

    return Repositories(
        SQLImageRepository(database),
        SQLMaintenanceRepository(database),
        SQLUserRepository(database),
        SQLApiKeyRepository(database),
        migrate,
    )


def memory_storage() -> "MemoryStorage":
    """Return a storage that is forgotten at exit."""
    from pixyproxy.adapters.memory.storage import MemoryStorage

    return MemoryStorage()


def memory_repositories(storage: "MemoryStorage") -> Repositories:
    """Return repositories that forget everything at exit."""
    from pixyproxy.adapters.memory.api_key_repository import MemoryApiKeyRepository
    from pixyproxy.adapters.memory.image_repository import MemoryImageRepository
    from pixyproxy.adapters.memory.maintenance_repository import MemoryMaintenanceRepository
    from pixyproxy.adapters.memory.user_repository import MemoryUserRepository

    return Repositories(
        MemoryImageRepository(storage),
        MemoryMaintenanceRepository(storage),
        MemoryUserRepository(storage),
        MemoryApiKeyRepository(storage),
    )


def filesystem_blob_storage(settings: Settings, rescue_dirs: Sequence[Path]) -> BlobStorage:
    """Return a storage in the images folder; bytes that it cannot store go to one of `rescue_dirs`."""
    from pixyproxy.adapters.filesystem.blob_maintenance import FilesystemBlobMaintenance
    from pixyproxy.adapters.filesystem.blob_store import FilesystemBlobStore
    from pixyproxy.adapters.filesystem.thumbnail_store import FilesystemThumbnailStore

    return BlobStorage(
        FilesystemBlobStore(settings.images_dir, rescue_dirs=rescue_dirs),
        FilesystemBlobMaintenance(settings.images_dir, rescue_dirs=rescue_dirs),
        FilesystemThumbnailStore(settings.images_dir),
    )


def memory_blob_storage() -> BlobStorage:
    """Return a storage that forgets everything at exit."""
    from pixyproxy.adapters.memory.blob_maintenance import MemoryBlobMaintenance
    from pixyproxy.adapters.memory.blob_store import MemoryBlobStore, Stored
    from pixyproxy.adapters.memory.thumbnail_store import MemoryThumbnailStore

    storage: dict[str, Stored] = {}
    return BlobStorage(MemoryBlobStore(storage), MemoryBlobMaintenance(storage), MemoryThumbnailStore())


def sketch_generator() -> ImageGenerator:
    """Return the generator that draws offline."""
    from pixyproxy.adapters.sketch.image_generator import SketchImageGenerator

    return SketchImageGenerator()


def openai_generator(settings: Settings) -> ImageGenerator:
    """Return the generator that calls OpenAI's images API."""
    from pixyproxy.adapters.openai.image_generator import OpenAIImageGenerator
    from pixyproxy.adapters.openai.picture_hosts import PictureHost

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
    )
