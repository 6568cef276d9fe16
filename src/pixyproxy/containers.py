"""The composition root: everything the service is made of, wired by its settings."""

from functools import partial

from dependency_injector import containers, providers

from pixyproxy import adapter_choices, plugins, tracing
from pixyproxy.adapters.argon2.password_hasher import Argon2PasswordHasher
from pixyproxy.adapters.pillow.picture_inspector import PillowPictureInspector
from pixyproxy.adapters.pillow.picture_scaler import PillowPictureScaler
from pixyproxy.adapters.system.clock import SystemClock
from pixyproxy.adapters.system.process_monitor import SystemProcessMonitor
from pixyproxy.adapters.zxcvbn.guess_estimator import ZxcvbnGuessEstimator
from pixyproxy.application.accounts.key_service import KeyService
from pixyproxy.application.accounts.login_throttle import LoginThrottle
from pixyproxy.application.accounts.password_rules import PasswordRules
from pixyproxy.application.accounts.roster_import import RosterImport
from pixyproxy.application.accounts.roster_service import RosterService
from pixyproxy.application.accounts.session_service import SessionService
from pixyproxy.application.accounts.user_service import UserService
from pixyproxy.application.fair_places import FairPlaces
from pixyproxy.application.generation.callers import Departures
from pixyproxy.application.generation.edit_sources import EditSourceReader
from pixyproxy.application.generation.recorder import OutcomeRecorder
from pixyproxy.application.generation.runner import GenerationRunner
from pixyproxy.application.generation.submission import Submitter
from pixyproxy.application.generation.uncertainty import UncertainSubmissions
from pixyproxy.application.images.cursors import Cursors
from pixyproxy.application.images.image_search import ImageSearch
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
from pixyproxy.application.maintenance.undescribed_pictures import UndescribedPictures
from pixyproxy.application.maintenance.upkeep import Upkeep
from pixyproxy.application.maintenance.verifier import Verifier
from pixyproxy.application.model_catalog import ModelCatalog
from pixyproxy.application.money.budget_service import BudgetService
from pixyproxy.application.money.learned_prices import LearnedPrices
from pixyproxy.application.money.pricing import Pricing
from pixyproxy.application.money.staff_budgets import StaffBudgets
from pixyproxy.application.money.usage_service import UsageService
from pixyproxy.application.observation.surveyor import Surveyor
from pixyproxy.application.option_limits import OptionLimits
from pixyproxy.application.queue.pacer import Pacer
from pixyproxy.application.queue.stored_sources import StoredSources
from pixyproxy.application.queue.takeover import QueueTakeover
from pixyproxy.application.queue.turns import Turns
from pixyproxy.application.spool import Spool
from pixyproxy.configuration import configuration_of
from pixyproxy.plugins import BlobStorage, Repositories
from pixyproxy.ports.accounts.api_key_repository import ApiKeyRepository
from pixyproxy.ports.accounts.session_repository import SessionRepository
from pixyproxy.ports.accounts.user_repository import UserRepository
from pixyproxy.ports.blob_maintenance import BlobMaintenance
from pixyproxy.ports.blob_store import BlobStore
from pixyproxy.ports.image_generator import ImageGenerator
from pixyproxy.ports.image_repository import ImageRepository
from pixyproxy.ports.maintenance_repository import MaintenanceRepository
from pixyproxy.ports.money.ledger import Ledger
from pixyproxy.ports.money.price_list import PriceList
from pixyproxy.ports.row_copier import RowCopier
from pixyproxy.ports.thumbnail_store import ThumbnailStore
from pixyproxy.settings import Settings

_HASHES_AT_ONCE = 2
"""Passwords that are verified at once; each needs 64 MiB and a core."""
_LOGINS_WAITING = 64


class Container(containers.DeclarativeContainer):
    """Everything the service is made of, wired by its settings; tests replace parts with `override`."""

    settings = providers.Dependency(instance_of=Settings)
    config = providers.Configuration(strict=True)

    secret = providers.ThreadSafeSingleton(adapter_choices.secret, config.secret_key, config.secret_path)
    clock = providers.ThreadSafeSingleton(SystemClock)
    process_monitor = providers.ThreadSafeSingleton(SystemProcessMonitor)
    own_name = process_monitor.provided.own_name
    hasher = providers.ThreadSafeSingleton(Argon2PasswordHasher, threads=_HASHES_AT_ONCE)
    guess_estimator = providers.ThreadSafeSingleton(ZxcvbnGuessEstimator)
    moving_windows = providers.ThreadSafeSingleton(adapter_choices.moving_windows, settings, clock)
    metrics = providers.ThreadSafeSingleton(adapter_choices.metrics, config.metrics_folder, config.worker)
    tracer = providers.ThreadSafeSingleton(tracing.create_tracer, settings)
    request_tracer_provider = providers.ThreadSafeSingleton(tracing.request_tracer_provider, settings, tracer)
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
    ledger: providers.Provider[Ledger] = repositories.provided.ledger
    session_repository: providers.Provider[SessionRepository] = repositories.provided.sessions
    row_copiers: providers.Aggregate[RowCopier] = providers.Aggregate(
        mysql=providers.Factory(adapter_choices.row_copier, sqlite_database, mysql_database),
        sqlite=providers.Factory(adapter_choices.row_copier, mysql_database, sqlite_database),
    )
    migrate = providers.Callable(adapter_choices.migrate, repositories)

    blob_storage = providers.Selector(
        config.blob_store,
        filesystem=providers.ThreadSafeSingleton(adapter_choices.filesystem_blob_storage, settings, config.rescue_dirs),
        s3=providers.ThreadSafeSingleton(adapter_choices.s3_blob_storage, settings, config.rescue_dir),
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

    price_list: providers.Provider[PriceList] = providers.ThreadSafeSingleton(adapter_choices.price_list, settings)
    model_prices: providers.Provider[PriceList] = providers.ThreadSafeSingleton(
        adapter_choices.price_list, settings, of_models=True
    )

    placeholders = providers.ThreadSafeSingleton(Placeholders, image_repository, blob_store, scaler)
    outcome_recorder = providers.ThreadSafeSingleton(
        OutcomeRecorder,
        image_repository,
        blob_store,
        inspector,
        price_list,
        clock,
        metrics,
        on_ready=placeholders.provided.offer,
    )
    spool = providers.ThreadSafeSingleton(Spool, config.spool_dir, config.spool_bytes)
    turns = providers.ThreadSafeSingleton(
        Turns,
        providers.Factory(Pacer, moving_windows, config.images_per_minute),
        clock,
        places=config.max_generations,
        per_party=config.per_user,
        length=config.queue_length,
        timeout_s=config.queue_timeout_s,
    )
    generation_runner = providers.ThreadSafeSingleton(
        GenerationRunner,
        outcome_recorder,
        maintenance_repository,
        generator,
        turns,
        providers.Factory(StoredSources, blob_store, spool),
        clock,
        metrics,
        tracer,
        owner=own_name,
        timeout_s=config.generation_timeout_s,
        lease_s=config.lease_s,
    )
    departures = providers.ThreadSafeSingleton(Departures, image_repository, generation_runner, clock)
    uncertain_submissions = providers.ThreadSafeSingleton(
        UncertainSubmissions, image_repository, departures, process_monitor, clock, lease_s=config.lease_s
    )
    learned_prices = providers.ThreadSafeSingleton(LearnedPrices, price_list, ledger, clock, config.openai_model)
    submitter = providers.ThreadSafeSingleton(
        Submitter,
        image_repository,
        generation_runner,
        generator,
        learned_prices,
        clock,
        departures,
        uncertain_submissions,
    )
    edit_source_reader = providers.ThreadSafeSingleton(EditSourceReader, image_repository, blob_store, inspector, spool)
    option_limits = providers.Factory(OptionLimits, config.max_options, config.max_option_bytes)
    cursors = providers.Factory(Cursors, secret.provider)
    image_search = providers.Factory(ImageSearch, image_repository, cursors, config.max_page_bytes)
    image_service = providers.ThreadSafeSingleton(
        ImageService,
        image_repository,
        blob_store,
        thumbnail_store,
        submitter,
        generation_runner,
        edit_source_reader,
        user_repository,
        clock,
        image_search,
        option_limits,
    )
    surveyor = providers.ThreadSafeSingleton(Surveyor, maintenance_repository, ledger)
    budget_service = providers.ThreadSafeSingleton(BudgetService, ledger, clock)
    usage_service = providers.ThreadSafeSingleton(UsageService, ledger, clock)
    pricing = providers.ThreadSafeSingleton(
        Pricing, learned_prices, submitter, edit_source_reader, option_limits, clock
    )
    thumbnails = providers.ThreadSafeSingleton(Thumbnails, image_service, thumbnail_store, scaler, placeholders)
    model_catalog = providers.ThreadSafeSingleton(ModelCatalog, generator)
    signed_urls = providers.ThreadSafeSingleton(SignedUrls, secret.provider, clock)
    rescued_responses = providers.ThreadSafeSingleton(
        RescuedResponses, image_repository, maintenance_repository, blob_maintenance, generator, outcome_recorder
    )
    undescribed_pictures = providers.ThreadSafeSingleton(
        UndescribedPictures, blob_store, blob_maintenance, outcome_recorder
    )
    reconciler = providers.ThreadSafeSingleton(
        Reconciler,
        image_repository,
        maintenance_repository,
        blob_store,
        blob_maintenance,
        thumbnail_store,
        ledger,
        rescued_responses,
        undescribed_pictures,
        process_monitor,
        clock,
        owner=own_name,
        lease_s=config.lease_s,
    )
    queue_takeover = providers.ThreadSafeSingleton(
        QueueTakeover,
        image_repository,
        maintenance_repository,
        generation_runner,
        clock,
        owner=own_name,
        lease_s=config.lease_s,
    )
    upkeep = providers.ThreadSafeSingleton(
        Upkeep,
        generation_runner,
        reconciler,
        queue_takeover,
        maintenance_repository,
        clock,
        owner=own_name,
        lease_s=config.lease_s,
    )
    verifier = providers.ThreadSafeSingleton(Verifier, maintenance_repository, blob_maintenance)
    rebuilder = providers.ThreadSafeSingleton(Rebuilder, maintenance_repository, blob_maintenance)
    # The provider, not the secret: reading it may write a file, which building a container must not do.
    login_throttle = providers.ThreadSafeSingleton(LoginThrottle, moving_windows, clock, secret.provider)
    login_places = providers.ThreadSafeSingleton(
        FairPlaces,
        "logins",
        places=_HASHES_AT_ONCE,
        waiting=_LOGINS_WAITING,
        refusal="Too many logins are being checked: try again in a moment.",
        retry_after_s=1.0,
    )
    password_rules = providers.ThreadSafeSingleton(PasswordRules, guess_estimator, min_length=config.password_length)
    user_service = providers.ThreadSafeSingleton(
        UserService, user_repository, hasher, password_rules, clock, login_throttle, login_places
    )
    roster_service = providers.Factory(RosterService, user_repository, user_service, password_rules, ledger, clock)
    key_service = providers.ThreadSafeSingleton(KeyService, api_key_repository, clock, secret.provider, login_throttle)
    roster_import = providers.Factory(RosterImport, user_repository, key_service, hasher, password_rules, clock)
    staff_budgets = providers.ThreadSafeSingleton(StaffBudgets, budget_service, ledger, user_repository, clock)
    session_service = providers.ThreadSafeSingleton(
        SessionService, session_repository, user_service, clock, secret.provider
    )
    store_binding = providers.ThreadSafeSingleton(
        StoreBinding, maintenance_repository, blob_store, blob_maintenance, clock, owner=own_name
    )
    generator_health = providers.ThreadSafeSingleton(GeneratorHealth, generator)
    readiness = providers.ThreadSafeSingleton(
        Readiness, image_repository, blob_store, store_binding, generation_runner, generator_health
    )


def build_container(settings: Settings) -> Container:
    """Return a container wired by these settings; connects to nothing. Raises SettingsError for a wrong one."""
    container = Container(settings=settings)
    container.config.from_dict(configuration_of(settings))
    choose = partial(plugins.choose, settings)
    choose(container.repositories, "PIXYPROXY_REPOSITORY", plugins.REPOSITORIES, settings.repository, Repositories)
    choose(container.blob_storage, "PIXYPROXY_BLOB_STORE", plugins.BLOB_STORES, settings.blob_store, BlobStorage)
    choose(container.generator, "PIXYPROXY_GENERATOR", plugins.GENERATORS, settings.generator, ImageGenerator)
    if settings.traces_exporter is not None:
        parts = container.repositories, container.blob_storage, container.generator
        tracing.trace_parts(settings, container.tracer, *parts)
    container.price_list()  # reads PIXYPROXY_PRICES
    return container
