"""Typed settings, each with its default and its rules."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from pixyproxy.domain.errors import PixyProxyException
from pixyproxy.named_proxies import NamedProxies
from pixyproxy.trusted_hosts import parse_server_host, parse_trusted_host
from pixyproxy.web_origin import parse_origin

_SECRET_LENGTH = 32
_SAMPLE_PASSWORDS = frozenset({"change-me", "change-me-too"})
"""Those of `0000_create_database_and_user.sql`, which everybody knows."""


class SettingsError(PixyProxyException):
    """A wrong setting; the message names it and says how to correct it."""

    code = "settings"


def _check_http_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be an http:// or https:// URL without query")
    _host_of(url)
    if re.search(r"[\s?#]", url):
        raise ValueError("must be a URL without query and blanks")
    return url.rstrip("/")


def _host_of(url: str) -> str:
    """Return the host of a URL as `parse_trusted_host` has it; raises ValueError for a malformed one."""
    return parse_trusted_host(urlsplit(url).netloc.rpartition("@")[2])


def _check_limits_url(value: SecretStr) -> SecretStr:
    """Return the URL with the scheme and the port that the client needs: Valkey speaks the protocol of Redis."""
    url = value.get_secret_value()
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = 0
    if not re.match(r"(redis|valkey)s?://", url) or not parts.hostname or port == 0:
        raise ValueError("must be a URL such as redis://host:6379/0, rediss://:password@host, or valkey://host")
    netloc = parts.netloc if port else f"{parts.netloc.rstrip(':')}:6379"
    return SecretStr(parts._replace(scheme=parts.scheme.replace("valkey", "redis"), netloc=netloc).geturl())


def _check_path(path: str) -> str:
    path = path.rstrip("/")
    if not re.fullmatch(r"(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+", path):
        raise ValueError("must be a path such as /_images, of letters, digits, hyphens, underscores and dots")
    return path


def _check_bucket(bucket: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]", bucket):
        raise ValueError("must be the name of a bucket, of letters, digits, dots, hyphens and underscores")
    return bucket


def _check_prefix(prefix: str) -> str:
    prefix = prefix.strip("/")
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*", prefix):
        raise ValueError(
            "must be a prefix such as pixyproxy/pictures, of letters, digits, hyphens, underscores and dots"
        )
    return prefix


def _elements(text: str) -> tuple[str, ...]:
    """Return the elements of a list that is separated by commas."""
    return tuple(element.strip() for element in text.split(",") if element.strip())


HttpUrl = Annotated[str, AfterValidator(_check_http_url)]
LimitsUrl = Annotated[SecretStr, AfterValidator(_check_limits_url)]
ServerHost = Annotated[str, AfterValidator(parse_server_host)]
UrlPath = Annotated[str, AfterValidator(_check_path)]
BucketName = Annotated[str, AfterValidator(_check_bucket)]
KeyPrefix = Annotated[str, AfterValidator(_check_prefix)]
Anonymous = Literal["none", "read", "write"]
"""The rights of a caller without credentials; each includes the one before."""


class Settings(BaseModel):
    """Every setting, with its default.

    A new setting is one line here, where its alias is its name in the environment, and one, with its meaning, in
    `.env.example`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    db_host: ServerHost | None = Field(None, validation_alias="DB_HOST")
    db_port: int = Field(3306, ge=1, le=65535, validation_alias="DB_PORT")
    db_user: str | None = Field(None, validation_alias="DB_USER")
    db_password: SecretStr = Field(SecretStr(""), validation_alias="DB_PASSWORD")
    db_name: str = Field("pixyproxy", pattern=r"^[A-Za-z0-9_$-]{1,64}$", validation_alias="DB_NAME")
    db_ssl_ca: Path | None = Field(None, validation_alias="DB_SSL_CA")
    db_pool_size: int = Field(4, ge=1, le=64, validation_alias="DB_POOL_SIZE")
    openai_api_key: SecretStr = Field(SecretStr(""), validation_alias="OPENAI_API_KEY")
    openai_base_url: HttpUrl | None = Field(None, validation_alias="OPENAI_BASE_URL")
    openai_picture_hosts: tuple[str, ...] = Field((), validation_alias="OPENAI_PICTURE_HOSTS")
    repository: str = Field("sqlite", validation_alias="PIXYPROXY_REPOSITORY")
    generator: str = Field("sketch", validation_alias="PIXYPROXY_GENERATOR")
    blob_store: str = Field("filesystem", validation_alias="PIXYPROXY_BLOB_STORE")
    s3_bucket: BucketName | None = Field(None, validation_alias="S3_BUCKET")
    s3_endpoint_url: HttpUrl | None = Field(None, validation_alias="S3_ENDPOINT_URL")
    s3_region: str = Field("us-east-1", pattern=r"^[A-Za-z0-9-]{1,64}$", validation_alias="S3_REGION")
    s3_prefix: KeyPrefix | None = Field(None, validation_alias="S3_PREFIX")
    s3_delivery: Literal["stream", "redirect"] = Field("stream", validation_alias="S3_DELIVERY")
    aws_access_key_id: str | None = Field(None, validation_alias="AWS_ACCESS_KEY_ID")
    aws_secret_access_key: SecretStr = Field(SecretStr(""), validation_alias="AWS_SECRET_ACCESS_KEY")
    secret_key: SecretStr = Field(SecretStr(""), validation_alias="PIXYPROXY_SECRET_KEY")
    data_dir: Path = Field(Path("./data"), validation_alias="PIXYPROXY_DATA_DIR")
    images_dir: Path = Field(Path("./images"), validation_alias="PIXYPROXY_IMAGES_DIR")
    host: ServerHost = Field("127.0.0.1", min_length=1, validation_alias="PIXYPROXY_HOST")
    port: int = Field(8001, ge=0, le=65535, validation_alias="PIXYPROXY_PORT")
    workers: int = Field(1, ge=1, le=256, validation_alias="PIXYPROXY_WORKERS")
    anonymous_setting: Anonymous | None = Field(None, validation_alias="PIXYPROXY_ANONYMOUS")
    openai_model: str = Field("gpt-image-2", min_length=1, validation_alias="PIXYPROXY_OPENAI_MODEL")
    generation_timeout_s: float = Field(
        300, gt=0, le=86_400, allow_inf_nan=False, validation_alias="PIXYPROXY_GENERATION_TIMEOUT_S"
    )
    max_generations: int = Field(256, ge=1, le=100_000, validation_alias="PIXYPROXY_MAX_GENERATIONS")
    images_per_minute: int | None = Field(None, ge=1, le=100_000, validation_alias="PIXYPROXY_IMAGES_PER_MINUTE")
    queue_length: int = Field(1000, ge=0, le=1_000_000, validation_alias="PIXYPROXY_QUEUE_LENGTH")
    queue_timeout_s: float = Field(
        1800, gt=0, le=86_400, allow_inf_nan=False, validation_alias="PIXYPROXY_QUEUE_TIMEOUT_S"
    )
    per_user: int | None = Field(None, ge=1, le=100_000, validation_alias="PIXYPROXY_PER_USER")
    max_connections: int | None = Field(None, ge=1, le=1_000_000, validation_alias="PIXYPROXY_MAX_CONNECTIONS")
    max_options: int = Field(64, ge=1, le=10_000, validation_alias="PIXYPROXY_MAX_OPTIONS")
    max_option_bytes: int = Field(64 * 1024, ge=1024, le=1024 * 1024, validation_alias="PIXYPROXY_MAX_OPTION_BYTES")
    max_page_bytes: int = Field(1024 * 1024, ge=1024, le=2**30, validation_alias="PIXYPROXY_MAX_PAGE_BYTES")
    password_length: int = Field(12, ge=1, le=128, validation_alias="PIXYPROXY_PASSWORD_LENGTH")
    limits_url: LimitsUrl | None = Field(None, validation_alias="PIXYPROXY_LIMITS_URL")
    lease_s: float = Field(60, gt=0, le=3600, allow_inf_nan=False, validation_alias="PIXYPROXY_LEASE_S")
    start_wait_s: float = Field(30, ge=0, le=86_400, allow_inf_nan=False, validation_alias="PIXYPROXY_START_WAIT_S")
    drain_s: float = Field(330, ge=0, le=86_400, allow_inf_nan=False, validation_alias="PIXYPROXY_DRAIN_S")
    spool_bytes: int = Field(1024**3, ge=1024**2, validation_alias="PIXYPROXY_SPOOL_BYTES")
    public_url: HttpUrl | None = Field(None, validation_alias="PIXYPROXY_PUBLIC_URL")
    trusted_hosts: tuple[str, ...] = Field((), validation_alias="PIXYPROXY_TRUSTED_HOSTS")
    forwarded_allow_ips: tuple[str, ...] | None = Field(None, validation_alias="PIXYPROXY_FORWARDED_ALLOW_IPS")
    files_group: str | None = Field(None, validation_alias="PIXYPROXY_FILES_GROUP")
    accel_prefix: UrlPath | None = Field(None, validation_alias="PIXYPROXY_ACCEL_PREFIX")
    cors_origins: tuple[str, ...] = Field((), validation_alias="PIXYPROXY_CORS_ORIGINS")
    response_format: Literal["b64_json", "url", "both"] | None = Field(
        None, validation_alias="PIXYPROXY_RESPONSE_FORMAT"
    )
    prices: Path | None = Field(None, validation_alias="PIXYPROXY_PRICES")
    metrics: Literal["off", "admin", "open"] = Field("admin", validation_alias="PIXYPROXY_METRICS")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = Field(
        "INFO", validation_alias="PIXYPROXY_LOG_LEVEL"
    )
    log_format: Literal["text", "json"] = Field("text", validation_alias="PIXYPROXY_LOG_FORMAT")
    log_callers: bool = Field(False, validation_alias="PIXYPROXY_LOG_CALLERS")
    otel_sdk_disabled: bool = Field(False, validation_alias="OTEL_SDK_DISABLED")
    otel_traces_exporter: str | None = Field(None, validation_alias="OTEL_TRACES_EXPORTER")
    otlp_endpoint: str | None = Field(None, validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT")
    otlp_traces_endpoint: str | None = Field(None, validation_alias="OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    otlp_protocol: str | None = Field(None, validation_alias="OTEL_EXPORTER_OTLP_PROTOCOL")
    otlp_traces_protocol: str | None = Field(None, validation_alias="OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")

    @property
    def traces_exporter(self) -> str | None:
        """The name of the exporter of traces as OpenTelemetry has it; None: there are no traces."""
        default = "otlp" if self.otlp_endpoint or self.otlp_traces_endpoint else "none"
        name = self.otel_traces_exporter or default
        return None if self.otel_sdk_disabled or name == "none" else name

    @property
    def anonymous(self) -> Anonymous:
        """The rights of anonymous callers: none of them spends money unless the operator says so."""
        return self.anonymous_setting or ("write" if self.generator == "sketch" else "read")

    @property
    def answered_hosts(self) -> tuple[str, ...]:
        """The hosts that are answered, that of the public URL among them; empty: all."""
        if not self.trusted_hosts or self.public_url is None:
            return self.trusted_hosts
        return (*self.trusted_hosts, _host_of(self.public_url))

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split_origins(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(origin if origin == "*" else parse_origin(origin) for origin in _elements(value))
        return value

    @field_validator("openai_picture_hosts", mode="before")
    @classmethod
    def _split_hosts(cls, value: Any) -> Any:
        if isinstance(value, str):
            return _elements(value)
        return value

    @field_validator("trusted_hosts", mode="before")
    @classmethod
    def _split_trusted_hosts(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = tuple(map(parse_trusted_host, _elements(value)))
            if not value:
                raise ValueError("names no host: leave it empty to answer every host")
        return value

    @field_validator("forwarded_allow_ips", mode="before")
    @classmethod
    def _split_proxies(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = _elements(value)
            NamedProxies(value)
        return value

    @field_validator("*")
    @classmethod
    def _expand_home(cls, value: Any) -> Any:
        if not isinstance(value, Path):
            return value
        if re.search(r"^\$\w+(/|$)|\$[{(]|`", str(value)):
            raise ValueError("holds a variable, which is not replaced: write the path out, or begin it with ~")
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(value)):
            raise ValueError("is a URL and not a path: see .env.example for what else there is")
        try:
            return value.expanduser()
        except RuntimeError:
            raise ValueError(f"begins with {value.parts[0]}, and there is no such home folder") from None

    @field_validator("secret_key")
    @classmethod
    def _check_length(cls, value: SecretStr) -> SecretStr:
        if 0 < len(value) < _SECRET_LENGTH:
            raise ValueError(
                f"must have at least {_SECRET_LENGTH} characters, such as those that `openssl rand -hex 32` prints"
            )
        return value

    @field_validator("db_password")
    @classmethod
    def _refuse_sample(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() in _SAMPLE_PASSWORDS:
            raise ValueError(
                "is the sample password, which everybody knows: set another with ALTER USER, and put it here"
            )
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check_together(self) -> "Settings":
        if self.repository == "mysql":
            for name, value in (("DB_HOST", self.db_host), ("DB_USER", self.db_user)):
                if not value:
                    raise SettingsError(f"{name}: is missing; PIXYPROXY_REPOSITORY=mysql needs it")
        if self.generator == "openai" and not self.openai_api_key.get_secret_value():
            raise SettingsError(
                "OPENAI_API_KEY: is missing; PIXYPROXY_GENERATOR=openai needs it (or use PIXYPROXY_GENERATOR=sketch)"
            )
        if self.blob_store == "s3":
            self._check_s3()
        for name, choice in (("PIXYPROXY_REPOSITORY", self.repository), ("PIXYPROXY_BLOB_STORE", self.blob_store)):
            if self.workers > 1 and choice == "memory":
                raise SettingsError(
                    f"PIXYPROXY_WORKERS: must be 1 with {name}=memory, since workers do not share their memory"
                )
        if self.db_ssl_ca is not None and not self.db_ssl_ca.is_file():
            raise SettingsError(f"DB_SSL_CA: there is no file {str(self.db_ssl_ca)!r}; name a CA certificate (PEM)")
        return self

    def _check_s3(self) -> None:
        if self.s3_bucket is None:
            raise SettingsError("S3_BUCKET: is missing; PIXYPROXY_BLOB_STORE=s3 needs it")
        if bool(self.aws_access_key_id) != bool(self.aws_secret_access_key.get_secret_value()):
            given, other = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
            if not self.aws_access_key_id:
                given, other = other, given
            raise SettingsError(f"{other}: is missing; set it with {given}, or neither, to use the machine's role")
        if self.accel_prefix is not None:
            raise SettingsError(
                "PIXYPROXY_ACCEL_PREFIX: needs PIXYPROXY_BLOB_STORE=filesystem, since nginx finds no files on S3; "
                "leave it empty, or set S3_DELIVERY=redirect"
            )
