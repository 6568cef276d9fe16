"""The composition root: the only module that names concrete adapters."""

import asyncio
import os
import secrets
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from dependency_injector import containers, providers

from pixyproxy.adapters.argon2.password_hasher import Argon2PasswordHasher
from pixyproxy.adapters.filesystem.blob_maintenance import FilesystemBlobMaintenance
from pixyproxy.adapters.filesystem.blob_store import FilesystemBlobStore
from pixyproxy.adapters.filesystem.secret import load_or_make
from pixyproxy.adapters.pillow.picture_inspector import PillowPictureInspector
from pixyproxy.adapters.pillow.picture_scaler import PillowPictureScaler
from pixyproxy.adapters.system.clock import SystemClock
from pixyproxy.application.accounts.key_service import KeyService
from pixyproxy.application.accounts.user_service import UserService
from pixyproxy.application.generation.edit_sources import EditSourceReader
from pixyproxy.application.generation.model_catalog import ModelCatalog
from pixyproxy.application.generation.recorder import OutcomeRecorder
from pixyproxy.application.generation.runner import GenerationRunner
from pixyproxy.application.generation.submission import Submitter
from pixyproxy.application.images.image_service import ImageService
from pixyproxy.application.images.placeholders import Placeholders
from pixyproxy.application.images.signed_urls import SignedUrls
from pixyproxy.application.images.thumbnails import Thumbnails
from pixyproxy.application.maintenance.readiness import Readiness
from pixyproxy.application.maintenance.rebuilder import Rebuilder
from pixyproxy.application.maintenance.reconciler import Reconciler
from pixyproxy.application.maintenance.upkeep import Upkeep
from pixyproxy.application.maintenance.verifier import Verifier
from pixyproxy.domain.errors import PixyProxyException
from pixyproxy.ports.resource import Resource
from pixyproxy.settings import Settings, SettingsError


def _adapter(module: str, name: str) -> Callable[..., Any]:
    """What makes the part of this name, imported only then: the choices not taken need neither time nor memory."""

    def make(*args: Any, **settings: Any) -> Any:
        return getattr(import_module(f"pixyproxy.adapters.{module}"), name)(*args, **settings)

    return make


def _repositories(
    module: str, choice: providers.Provider[str], databases: Mapping[str, providers.Provider[Any]]
) -> providers.Selector:
    """The repositories of one role, one on each database; modules and classes are named by database and role."""
    role = module.title().replace("_", "")
    return providers.Selector(
        choice,
        **{
            name.lower(): providers.ThreadSafeSingleton(_adapter(f"{name.lower()}.{module}", name + role), database)
            for name, database in databases.items()
        },
    )


def _secret(given: str, path: Path | None) -> bytes:
    """The service's own secret: the one given, else that in the file; without a file it ends with the process."""
    if given:
        return given.encode()
    return secrets.token_bytes(32) if path is None else load_or_make(path)


async def _migrate_memory(**reporters: Callable[[str], None]) -> list[str]:
    """What is in memory has no tables: there is never a script to apply."""
    return []


class Container(containers.DeclarativeContainer):
    """Everything the program is made of, wired by configuration; tests swap parts with `override`.

    To offer another generator or blob store, add one line to its Selector; another database, one to `databases`.
    """

    config = providers.Configuration(strict=True)

    secret = providers.ThreadSafeSingleton(_secret, config.secret_key, config.secret_path)
    clock = providers.ThreadSafeSingleton(SystemClock)
    hasher = providers.ThreadSafeSingleton(Argon2PasswordHasher)
    inspector = providers.ThreadSafeSingleton(PillowPictureInspector)
    scaler = providers.ThreadSafeSingleton(PillowPictureScaler)

    sqlite_database = providers.ThreadSafeSingleton(_adapter("sqlite.database", "SQLiteDatabase"), config.sqlite_path)
    mysql_database = providers.ThreadSafeSingleton(
        _adapter("mysql.database", "MySQLDatabase"),
        host=config.db_host,
        port=config.db_port,
        user=config.db_user,
        password=config.db_password,
        name=config.db_name,
        ssl_ca=config.db_ssl_ca,
        pool_size=config.db_pool_size,
    )
    memory_storage = providers.ThreadSafeSingleton(_adapter("memory.storage", "MemoryStorage"))
    databases: ClassVar = {"SQLite": sqlite_database, "MySQL": mysql_database, "Memory": memory_storage}
    image_repository = _repositories("image_repository", config.repository, databases)
    maintenance_repository = _repositories("maintenance_repository", config.repository, databases)
    user_repository = _repositories("user_repository", config.repository, databases)
    api_key_repository = _repositories("api_key_repository", config.repository, databases)
    migrate = providers.Selector(
        config.repository,
        sqlite=providers.Callable(_adapter("sqlite.migrations", "migrate"), config.sqlite_path),
        mysql=providers.Callable(_adapter("mysql.migrations", "migrate"), mysql_database),
        memory=providers.Callable(_migrate_memory),
    )
    memory_blobs: providers.Provider[dict[str, Any]] = providers.ThreadSafeSingleton(dict)
    blob_store = providers.Selector(
        config.blob_store,
        filesystem=providers.ThreadSafeSingleton(
            FilesystemBlobStore, config.images_dir, rescue_dirs=config.rescue_dirs
        ),
        memory=providers.ThreadSafeSingleton(_adapter("memory.blob_store", "MemoryBlobStore"), memory_blobs),
    )
    blob_maintenance = providers.Selector(
        config.blob_store,
        filesystem=providers.ThreadSafeSingleton(
            FilesystemBlobMaintenance, config.images_dir, rescue_dirs=config.rescue_dirs
        ),
        memory=providers.ThreadSafeSingleton(
            _adapter("memory.blob_maintenance", "MemoryBlobMaintenance"), memory_blobs
        ),
    )
    generator = providers.Selector(
        config.generator,
        sketch=providers.ThreadSafeSingleton(_adapter("sketch.image_generator", "SketchImageGenerator")),
        openai=providers.ThreadSafeSingleton(
            _adapter("openai.image_generator", "OpenAIImageGenerator"),
            api_key=config.openai_api_key,
            base_url=config.openai_base_url,
            model=config.openai_model,
            timeout_s=config.generation_timeout_s,
        ),
    )

    placeholders = providers.ThreadSafeSingleton(Placeholders, image_repository, blob_store, scaler)
    outcome_recorder = providers.ThreadSafeSingleton(
        OutcomeRecorder, image_repository, blob_store, inspector, clock, on_ready=placeholders.provided.offer
    )
    generation_runner = providers.ThreadSafeSingleton(
        GenerationRunner,
        outcome_recorder,
        maintenance_repository,
        generator,
        clock,
        owner=config.process_name,
        max_in_flight=config.max_generations,
        timeout_s=config.generation_timeout_s,
        lease_s=config.lease_s,
    )
    submitter = providers.ThreadSafeSingleton(Submitter, image_repository, generation_runner, clock)
    edit_source_reader = providers.ThreadSafeSingleton(EditSourceReader, image_repository, blob_store, inspector)
    image_service = providers.ThreadSafeSingleton(
        ImageService, image_repository, blob_store, submitter, edit_source_reader, clock
    )
    thumbnails = providers.ThreadSafeSingleton(Thumbnails, image_service, blob_store, scaler, placeholders)
    model_catalog = providers.ThreadSafeSingleton(ModelCatalog, generator)
    signed_urls = providers.ThreadSafeSingleton(SignedUrls, secret.provider, clock)
    reconciler = providers.ThreadSafeSingleton(
        Reconciler,
        image_repository,
        maintenance_repository,
        blob_store,
        blob_maintenance,
        clock,
        owner=config.process_name,
        lease_s=config.lease_s,
    )
    upkeep = providers.ThreadSafeSingleton(Upkeep, generation_runner, reconciler, lease_s=config.lease_s)
    verifier = providers.ThreadSafeSingleton(Verifier, maintenance_repository, blob_maintenance)
    rebuilder = providers.ThreadSafeSingleton(Rebuilder, maintenance_repository, blob_store, blob_maintenance)
    user_service = providers.ThreadSafeSingleton(UserService, user_repository, hasher, clock)
    # The secret may have to be made, and building parts makes nothing: whoever needs it asks for it later.
    key_service = providers.ThreadSafeSingleton(KeyService, api_key_repository, clock, secret.provider)
    readiness = providers.ThreadSafeSingleton(Readiness, image_repository, blob_store, generation_runner)


def build_container(settings: Settings) -> Container:
    """A container wired by these settings; connects to nothing. Raises SettingsError for an unknown choice."""
    container = Container()
    container.config.from_dict(_configuration(settings))
    for name, selector, choice in (
        ("PIXYPROXY_REPOSITORY", container.image_repository, settings.repository),
        ("PIXYPROXY_GENERATOR", container.generator, settings.generator),
        ("PIXYPROXY_BLOB_STORE", container.blob_store, settings.blob_store),
    ):
        if choice not in selector.providers:
            raise SettingsError(f"{name}: {choice!r} is not known; use one of {', '.join(sorted(selector.providers))}")
    return container


@asynccontextmanager
async def opened(container: Container) -> AsyncIterator[Container]:
    """Open all parts in order and close them in reverse; raises SettingsError naming the setting to look at."""
    config = container.config()
    database = {
        "mysql": "DB_HOST, DB_PORT, DB_USER, DB_PASSWORD, DB_NAME",
        "sqlite": "PIXYPROXY_DATA_DIR",
    }.get(config["repository"], "PIXYPROXY_REPOSITORY")
    remedies = {
        "PIXYPROXY_DATA_DIR": f" It must be a folder that the service may write; now it is {config['data_dir']}.",
        "PIXYPROXY_IMAGES_DIR": f" It must be a folder that the service may write; now it is {config['images_dir']}.",
    }
    parts: list[tuple[str, Resource]] = [
        (database, container.image_repository()),
        (database, container.user_repository()),
        (database, container.api_key_repository()),
        (database, container.maintenance_repository()),
        ("PIXYPROXY_IMAGES_DIR", container.blob_store()),
        ("PIXYPROXY_IMAGES_DIR", container.blob_maintenance()),
        ("PIXYPROXY_GENERATOR", container.generator()),
        ("PIXYPROXY_REPOSITORY", container.hasher()),
        ("PIXYPROXY_BLOB_STORE", container.scaler()),
    ]
    async with AsyncExitStack() as stack:
        for setting, part in parts:
            stack.push_async_callback(part.close)
            try:
                await part.open()
            except PixyProxyException as error:
                raise SettingsError(f"{setting}: {error.message}{remedies.get(setting, '')}") from error
        try:
            await asyncio.to_thread(container.secret)
        except PixyProxyException as error:
            raise SettingsError(f"PIXYPROXY_DATA_DIR, PIXYPROXY_SECRET_KEY: {error.message}") from error
        yield container


def _configuration(settings: Settings) -> dict[str, Any]:
    values = settings.model_dump()
    values["db_password"] = settings.db_password.get_secret_value()
    values["openai_api_key"] = settings.openai_api_key.get_secret_value()
    values["secret_key"] = settings.secret_key.get_secret_value()
    values["secret_path"] = None if settings.repository == "memory" else settings.data_dir / "secret.key"
    values["db_ssl_ca"] = None if settings.db_ssl_ca is None else str(settings.db_ssl_ca)
    values["sqlite_path"] = settings.data_dir / "pixyproxy.sqlite3"
    values["rescue_dirs"] = (settings.data_dir / "rescue", Path(tempfile.gettempdir()) / "pixyproxy-rescue")
    values["anonymous"] = settings.anonymous
    # Two processes must never share a name, not even one after the other: a lease outlives its process.
    values["process_name"] = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    return values
