"""The composition root: everything the service is made of, wired by its settings."""

import asyncio
import secrets
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from dependency_injector import containers, providers

from pixyproxy import adapter_choices, plugins
from pixyproxy.adapters.argon2.password_hasher import Argon2PasswordHasher
from pixyproxy.adapters.filesystem.secret_file import read_or_create_secret
from pixyproxy.adapters.pillow.picture_inspector import PillowPictureInspector
from pixyproxy.adapters.pillow.picture_scaler import PillowPictureScaler
from pixyproxy.adapters.system.clock import SystemClock
from pixyproxy.adapters.system.process_monitor import SystemProcessMonitor
from pixyproxy.application.accounts.key_service import KeyService
from pixyproxy.application.accounts.user_service import UserService
from pixyproxy.application.generation.callers import Departures
from pixyproxy.application.generation.edit_sources import EditSourceReader
from pixyproxy.application.generation.model_catalog import ModelCatalog
from pixyproxy.application.generation.recorder import OutcomeRecorder
from pixyproxy.application.generation.runner import GenerationRunner
from pixyproxy.application.generation.submission import Submitter
from pixyproxy.application.generation.uncertainty import UncertainSubmissions
from pixyproxy.application.images.image_service import ImageService
from pixyproxy.application.images.placeholders import Placeholders
from pixyproxy.application.images.signed_urls import SignedUrls
from pixyproxy.application.images.thumbnails import Thumbnails
from pixyproxy.application.maintenance.generator_health import GeneratorHealth
from pixyproxy.application.maintenance.readiness import Readiness
from pixyproxy.application.maintenance.rebuilder import Rebuilder
from pixyproxy.application.maintenance.reconciler import Reconciler
from pixyproxy.application.maintenance.rescued_responses import RescuedResponses
from pixyproxy.application.maintenance.store_binding import StoreBinding
from pixyproxy.application.maintenance.upkeep import Upkeep
from pixyproxy.application.maintenance.verifier import Verifier
from pixyproxy.domain.errors import PixyProxyException, StoreIdentityError
from pixyproxy.plugins import BlobStorage, Repositories
from pixyproxy.ports.api_key_repository import ApiKeyRepository
from pixyproxy.ports.blob_maintenance import BlobMaintenance
from pixyproxy.ports.blob_store import BlobStore
from pixyproxy.ports.image_generator import ImageGenerator
from pixyproxy.ports.image_repository import ImageRepository
from pixyproxy.ports.maintenance_repository import MaintenanceRepository
from pixyproxy.ports.resource import Resource
from pixyproxy.ports.thumbnail_store import ThumbnailStore
from pixyproxy.ports.user_repository import UserRepository
from pixyproxy.settings import Settings, SettingsError


class PartError(PixyProxyException):
    """A part of the service without a setting cannot be opened; the message names the part."""

    code = "part-unavailable"


def _secret(key: str, path: Path | None) -> bytes:
    """Return the configured secret key, else the one in the file; without a file, one for this process only."""
    if key:
        return key.encode()
    return secrets.token_bytes(32) if path is None else read_or_create_secret(path)


async def _migrate(repositories: Repositories, **reporters: Callable[[str], None]) -> list[str]:
    """Apply the migrations of the database that is configured; return the names of the scripts applied."""
    return await repositories.migrate(**reporters)


class Container(containers.DeclarativeContainer):
    """Everything the service is made of, wired by its settings; tests replace parts with `override`."""

    settings = providers.Dependency(instance_of=Settings)
    config = providers.Configuration(strict=True)

    secret = providers.ThreadSafeSingleton(_secret, config.secret_key, config.secret_path)
    clock = providers.ThreadSafeSingleton(SystemClock)
    process_monitor = providers.ThreadSafeSingleton(SystemProcessMonitor)
    hasher = providers.ThreadSafeSingleton(Argon2PasswordHasher)
    inspector = providers.ThreadSafeSingleton(PillowPictureInspector)
    scaler = providers.ThreadSafeSingleton(PillowPictureScaler)

    sqlite_database = providers.ThreadSafeSingleton(adapter_choices.sqlite_database, settings)
    mysql_database = providers.ThreadSafeSingleton(adapter_choices.mysql_database, settings)
    memory_storage = providers.ThreadSafeSingleton(adapter_choices.memory_storage)
    repositories = providers.Selector(
        config.repository,
        sqlite=providers.ThreadSafeSingleton(adapter_choices.sqlite_repositories, sqlite_database),
        mysql=providers.ThreadSafeSingleton(adapter_choices.mysql_repositories, mysql_database),
        memory=providers.ThreadSafeSingleton(adapter_choices.memory_repositories, memory_storage),
    )
    image_repository: providers.Provider[ImageRepository] = repositories.provided.images
    maintenance_repository: providers.Provider[MaintenanceRepository] = repositories.provided.maintenance
    user_repository: providers.Provider[UserRepository] = repositories.provided.users
    api_key_repository: providers.Provider[ApiKeyRepository] = repositories.provided.api_keys
    migrate = providers.Callable(_migrate, repositories)

    blob_storage = providers.Selector(
        config.blob_store,
        filesystem=providers.ThreadSafeSingleton(adapter_choices.filesystem_blob_storage, settings, config.rescue_dirs),
        memory=providers.ThreadSafeSingleton(adapter_choices.memory_blob_storage),
    )
    blob_store: providers.Provider[BlobStore] = blob_storage.provided.blobs
    blob_maintenance: providers.Provider[BlobMaintenance] = blob_storage.provided.maintenance
    thumbnail_store: providers.Provider[ThumbnailStore] = blob_storage.provided.thumbnails

    generator: providers.Selector[ImageGenerator] = providers.Selector(
        config.generator,
        sketch=providers.ThreadSafeSingleton(adapter_choices.sketch_generator),
        openai=providers.ThreadSafeSingleton(adapter_choices.openai_generator, settings),
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
        owner=process_monitor.provided.own_name,
        max_in_flight=config.max_generations,
        timeout_s=config.generation_timeout_s,
        lease_s=config.lease_s,
    )
    departures = providers.ThreadSafeSingleton(Departures, image_repository, generation_runner, clock)
    uncertain_submissions = providers.ThreadSafeSingleton(
        UncertainSubmissions, image_repository, departures, process_monitor, clock, lease_s=config.lease_s
    )
    submitter = providers.ThreadSafeSingleton(
        Submitter, image_repository, generation_runner, generator, clock, departures, uncertain_submissions
    )
    edit_source_reader = providers.ThreadSafeSingleton(EditSourceReader, image_repository, blob_store, inspector)
    image_service = providers.ThreadSafeSingleton(
        ImageService, image_repository, blob_store, thumbnail_store, submitter, edit_source_reader, clock
    )
    thumbnails = providers.ThreadSafeSingleton(Thumbnails, image_service, thumbnail_store, scaler, placeholders)
    model_catalog = providers.ThreadSafeSingleton(ModelCatalog, generator)
    signed_urls = providers.ThreadSafeSingleton(SignedUrls, secret.provider, clock)
    rescued_responses = providers.ThreadSafeSingleton(
        RescuedResponses, image_repository, maintenance_repository, blob_maintenance, generator, outcome_recorder
    )
    reconciler = providers.ThreadSafeSingleton(
        Reconciler,
        image_repository,
        maintenance_repository,
        blob_store,
        blob_maintenance,
        thumbnail_store,
        rescued_responses,
        clock,
        owner=process_monitor.provided.own_name,
        lease_s=config.lease_s,
    )
    upkeep = providers.ThreadSafeSingleton(
        Upkeep,
        generation_runner,
        reconciler,
        maintenance_repository,
        clock,
        owner=process_monitor.provided.own_name,
        lease_s=config.lease_s,
    )
    verifier = providers.ThreadSafeSingleton(Verifier, maintenance_repository, blob_maintenance)
    rebuilder = providers.ThreadSafeSingleton(Rebuilder, maintenance_repository, blob_maintenance)
    user_service = providers.ThreadSafeSingleton(UserService, user_repository, hasher, clock)
    # The provider, not the secret: reading it may write a file, which building a container must not do.
    key_service = providers.ThreadSafeSingleton(KeyService, api_key_repository, clock, secret.provider)
    store_binding = providers.ThreadSafeSingleton(
        StoreBinding,
        maintenance_repository,
        blob_store,
        blob_maintenance,
        clock,
        owner=process_monitor.provided.own_name,
    )
    generator_health = providers.ThreadSafeSingleton(GeneratorHealth, generator)
    readiness = providers.ThreadSafeSingleton(
        Readiness, image_repository, blob_store, store_binding, generation_runner, generator_health
    )


def build_container(settings: Settings) -> Container:
    """Return a container wired by these settings; connects to nothing. Raises SettingsError for an unknown choice."""
    container = Container(settings=settings)
    container.config.from_dict(_configuration(settings))
    choices: list[tuple[str, str, str, providers.Selector[Any], type]] = [
        ("PIXYPROXY_REPOSITORY", settings.repository, plugins.REPOSITORIES, container.repositories, Repositories),
        ("PIXYPROXY_BLOB_STORE", settings.blob_store, plugins.BLOB_STORES, container.blob_storage, BlobStorage),
        ("PIXYPROXY_GENERATOR", settings.generator, plugins.GENERATORS, container.generator, ImageGenerator),
    ]
    for setting, name, group, selector, kind in choices:
        if name not in selector.providers:
            entry_point = plugins.find(setting, group, name, list(selector.providers))
            plugin = providers.ThreadSafeSingleton(plugins.create, setting, entry_point, kind, settings)
            selector.set_providers(**selector.providers, **{name: plugin})
    return container


@asynccontextmanager
async def opened(container: Container) -> AsyncIterator[Container]:
    """Open all parts in order and close them in reverse.

    Raises:
        SettingsError: naming the settings that a part depends on.
        PartError: if the part depends on no setting.
    """
    config = container.config()
    writable = "It must be a folder that the service may write; now it is"
    database = {
        "mysql": ("DB_HOST, DB_PORT, DB_USER, DB_PASSWORD, DB_NAME", ""),
        "sqlite": ("PIXYPROXY_DATA_DIR", f"{writable} {config['data_dir']}."),
    }.get(config["repository"], ("PIXYPROXY_REPOSITORY", ""))
    blobs = {
        "filesystem": ("PIXYPROXY_IMAGES_DIR", f"{writable} {config['images_dir']}."),
    }.get(config["blob_store"], ("PIXYPROXY_BLOB_STORE", ""))
    configured: list[tuple[tuple[str, str], Resource]] = [
        (database, container.image_repository()),
        (database, container.user_repository()),
        (database, container.api_key_repository()),
        (database, container.maintenance_repository()),
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
        for name, fixed in (("password hasher", container.hasher()), ("picture scaler", container.scaler())):
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
        blobs = "PIXYPROXY_IMAGES_DIR" if config["blob_store"] == "filesystem" else "PIXYPROXY_BLOB_STORE"
        database = {"mysql": "DB_HOST, DB_NAME", "sqlite": "PIXYPROXY_DATA_DIR"}
        chosen = database.get(config["repository"], "PIXYPROXY_REPOSITORY")
        raise SettingsError(f"{blobs}, {chosen}: {error.message}") from error


def _configuration(settings: Settings) -> dict[str, Any]:
    values = settings.model_dump()
    values["secret_key"] = settings.secret_key.get_secret_value()
    values["secret_path"] = None if settings.repository == "memory" else settings.data_dir / "secret.key"
    values["rescue_dirs"] = (settings.data_dir / "rescue", Path(tempfile.gettempdir()) / "pixyproxy-rescue")
    values["anonymous"] = settings.anonymous
    return values
