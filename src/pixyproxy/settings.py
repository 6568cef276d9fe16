"""Typed settings, each with its default and its rules."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from pixyproxy.domain.errors import PixyProxyException
from pixyproxy.named_proxies import NamedProxies
from pixyproxy.web_origin import parse_origin

_SECRET_LENGTH = 32


class SettingsError(PixyProxyException):
    """A wrong setting; the message names it and says how to correct it."""

    code = "settings"


def _check_http_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("must be an http:// or https:// URL without query")
    return url.rstrip("/")


def _check_path(path: str) -> str:
    path = path.rstrip("/")
    if not re.fullmatch(r"(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+", path):
        raise ValueError("must be a path such as /_images, of letters, digits, hyphens, underscores and dots")
    return path


def _elements(text: str) -> tuple[str, ...]:
    """Return the elements of a list that is separated by commas."""
    return tuple(element.strip() for element in text.split(",") if element.strip())


HttpUrl = Annotated[str, AfterValidator(_check_http_url)]
UrlPath = Annotated[str, AfterValidator(_check_path)]
Anonymous = Literal["none", "read", "write"]
"""The rights of a caller without credentials; each includes the one before."""


class Settings(BaseModel):
    """Every setting, with its default.

    A new setting is one line here, where its alias is its name in the environment, and one, with its meaning, in
    `.env.example`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    db_host: str | None = Field(None, validation_alias="DB_HOST")
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
    secret_key: SecretStr = Field(SecretStr(""), validation_alias="PIXYPROXY_SECRET_KEY")
    data_dir: Path = Field(Path("./data"), validation_alias="PIXYPROXY_DATA_DIR")
    images_dir: Path = Field(Path("./images"), validation_alias="PIXYPROXY_IMAGES_DIR")
    host: str = Field("127.0.0.1", min_length=1, validation_alias="PIXYPROXY_HOST")
    port: int = Field(8001, ge=0, le=65535, validation_alias="PIXYPROXY_PORT")
    workers: int = Field(1, ge=1, le=256, validation_alias="PIXYPROXY_WORKERS")
    anonymous_setting: Anonymous | None = Field(None, validation_alias="PIXYPROXY_ANONYMOUS")
    openai_model: str = Field("gpt-image-2", min_length=1, validation_alias="PIXYPROXY_OPENAI_MODEL")
    generation_timeout_s: float = Field(
        300, gt=0, le=86_400, allow_inf_nan=False, validation_alias="PIXYPROXY_GENERATION_TIMEOUT_S"
    )
    max_generations: int = Field(256, ge=1, le=100_000, validation_alias="PIXYPROXY_MAX_GENERATIONS")
    lease_s: float = Field(60, gt=0, le=3600, allow_inf_nan=False, validation_alias="PIXYPROXY_LEASE_S")
    start_wait_s: float = Field(30, ge=0, le=86_400, allow_inf_nan=False, validation_alias="PIXYPROXY_START_WAIT_S")
    drain_s: float = Field(330, ge=0, le=86_400, allow_inf_nan=False, validation_alias="PIXYPROXY_DRAIN_S")
    public_url: HttpUrl | None = Field(None, validation_alias="PIXYPROXY_PUBLIC_URL")
    forwarded_allow_ips: tuple[str, ...] | None = Field(None, validation_alias="PIXYPROXY_FORWARDED_ALLOW_IPS")
    accel_prefix: UrlPath | None = Field(None, validation_alias="PIXYPROXY_ACCEL_PREFIX")
    cors_origins: tuple[str, ...] = Field((), validation_alias="PIXYPROXY_CORS_ORIGINS")
    response_format: Literal["b64_json", "url", "both"] | None = Field(
        None, validation_alias="PIXYPROXY_RESPONSE_FORMAT"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = Field(
        "INFO", validation_alias="PIXYPROXY_LOG_LEVEL"
    )
    log_callers: bool = Field(False, validation_alias="PIXYPROXY_LOG_CALLERS")

    @property
    def anonymous(self) -> Anonymous:
        """The rights of anonymous callers: none of them spends money unless the operator says so."""
        return self.anonymous_setting or ("write" if self.generator == "sketch" else "read")

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
        if re.match(r"\$\w+(/|$)", str(value)) or "${" in str(value):
            raise ValueError("holds a variable, which is not replaced: write the path out, or begin it with ~")
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
        for name, choice in (("PIXYPROXY_REPOSITORY", self.repository), ("PIXYPROXY_BLOB_STORE", self.blob_store)):
            if self.workers > 1 and choice == "memory":
                raise SettingsError(
                    f"PIXYPROXY_WORKERS: must be 1 with {name}=memory, since workers do not share their memory"
                )
        if self.db_ssl_ca is not None and not self.db_ssl_ca.is_file():
            raise SettingsError(f"DB_SSL_CA: there is no file {str(self.db_ssl_ca)!r}; name a CA certificate (PEM)")
        return self
