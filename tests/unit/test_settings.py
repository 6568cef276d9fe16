"""Settings: types, completeness, and messages for wrong values."""

import re
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from pixyproxy.containers import build_container
from pixyproxy.environment import load_settings
from pixyproxy.settings import Settings, SettingsError

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(__import__("os").environ):
        if name.startswith(("PIXYPROXY_", "DB_", "OPENAI_", "OTEL_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(Path(__file__).parent)  # where there is no .env


def test_the_example_lists_every_setting_with_its_default() -> None:
    example = dict(re.findall(r"^([A-Z0-9_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
    fields = {str(field.validation_alias): (name, field.default) for name, field in Settings.model_fields.items()}
    assert set(example) == set(fields)
    for name, text in example.items():
        attribute, default = fields[name]
        if text:
            assert getattr(Settings(**{name: text}), attribute) == default, name  # type: ignore[arg-type]
        else:
            assert default in (None, ()) or getattr(default, "get_secret_value", lambda: "x")() == "", name


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("PIXYPROXY_PORT", "http", "integer"),
        ("PIXYPROXY_PORT", "70000", "65535"),
        ("DB_PORT", "0", "1"),
        ("DB_NAME", "a b", "pattern"),
        ("DB_HOST", "tcp://10.0.0.1:3306", "it has no scheme and no path"),
        ("DB_HOST", "/run/mysqld/mysqld.sock", "it has no scheme and no path"),
        ("DB_HOST", "db.example.org:3306", "the port is a setting of its own"),
        ("PIXYPROXY_HOST", "http://0.0.0.0", "it has no scheme and no path"),
        ("PIXYPROXY_HOST", "0.0.0.0:80", "the port is a setting of its own"),
        ("PIXYPROXY_HOST", "[::]:80", "the port is a setting of its own"),
        ("PIXYPROXY_IMAGES_DIR", "s3://bucket/pictures", "is a URL and not a path"),
        ("PIXYPROXY_DATA_DIR", "file:///srv/data", "is a URL and not a path"),
        ("OPENAI_BASE_URL", "http://host:99999/v1", "'host:99999' is no host"),
        ("OPENAI_BASE_URL", "http:// host/v1", "' host' is no host"),
        ("OPENAI_BASE_URL", "http://host/v1#", "without query"),
        ("OPENAI_BASE_URL", "http://host/v1?", "without query"),
        ("PIXYPROXY_PUBLIC_URL", "https://host/a b", "without query"),
        ("DB_POOL_SIZE", "0", "1"),
        ("DB_SSL_CA", "/nowhere/ca.pem", "no file"),
        ("PIXYPROXY_SECRET_KEY", "x" * 31, "at least 32 characters"),
        ("OPENAI_BASE_URL", "api.openai.com", "http"),
        ("PIXYPROXY_PUBLIC_URL", "ftp://x", "http"),
        ("PIXYPROXY_ANONYMOUS", "everything", "'none', 'read' or 'write'"),
        ("PIXYPROXY_LOG_LEVEL", "LOUD", "'DEBUG'"),
        ("PIXYPROXY_RESPONSE_FORMAT", "png", "'b64_json', 'url' or 'both'"),
        ("PIXYPROXY_LOG_CALLERS", "2", "boolean"),
        ("PIXYPROXY_CORS_ORIGINS", "example.org", "https://"),
        ("PIXYPROXY_CORS_ORIGINS", "https://a.example,https://App.Example:443/path", "https://app.example is the"),
        ("PIXYPROXY_GENERATION_TIMEOUT_S", "nan", "finite"),
        ("PIXYPROXY_GENERATION_TIMEOUT_S", "0", "greater than 0"),
        ("PIXYPROXY_MAX_GENERATIONS", "0", "1"),
        ("PIXYPROXY_DRAIN_S", "-1", "0"),
        ("PIXYPROXY_WORKERS", "0", "1"),
        ("PIXYPROXY_ACCEL_PREFIX", "images", "such as /_images"),
        ("PIXYPROXY_ACCEL_PREFIX", "/", "such as /_images"),
        ("PIXYPROXY_ACCEL_PREFIX", "/a/../b", "such as /_images"),
        ("PIXYPROXY_ACCEL_PREFIX", "/a b", "such as /_images"),
        ("PIXYPROXY_FORWARDED_ALLOW_IPS", "127.0.0.1, nginx", "'nginx' is no address or network"),
        ("PIXYPROXY_FORWARDED_ALLOW_IPS", "*", "0.0.0.0/0 and ::/0"),
        ("PIXYPROXY_TRUSTED_HOSTS", "https://pictures.example.org", "is no host, such as pictures.example.org"),
        ("PIXYPROXY_TRUSTED_HOSTS", "a.example, *", "leave the setting empty"),
        ("PIXYPROXY_PER_USER", "0", "1"),
        ("PIXYPROXY_TRUSTED_HOSTS", ",", "names no host"),
        ("PIXYPROXY_PUBLIC_URL", "https://a b", "'a b' is no host"),
        ("PIXYPROXY_PUBLIC_URL", "https://a:port/x", "'a:port' is no host"),
        ("PIXYPROXY_PASSWORD_LENGTH", "0", "1"),
        ("PIXYPROXY_LIMITS_URL", "127.0.0.1:6379", "such as redis://host:6379/0"),
        ("PIXYPROXY_LIMITS_URL", "memcached://host", "such as redis://host:6379/0"),
        ("PIXYPROXY_LIMITS_URL", "redis://host:port", "such as redis://host:6379/0"),
        ("PIXYPROXY_LIMITS_URL", "redis://", "such as redis://host:6379/0"),
        ("PIXYPROXY_REPOSITORY", "oracle", "memory, mysql, sqlite"),
        ("PIXYPROXY_GENERATOR", "dalle", "openai, sketch"),
        ("PIXYPROXY_BLOB_STORE", "tape", "filesystem, memory, s3"),
        ("S3_BUCKET", "b", "name of a bucket"),
        ("S3_BUCKET", "a/b/c", "name of a bucket"),
        ("S3_ENDPOINT_URL", "s3.example.org", "http"),
        ("S3_REGION", "us east", "pattern"),
        ("S3_PREFIX", "../up", "such as pixyproxy/pictures"),
        ("S3_PREFIX", "a//b", "such as pixyproxy/pictures"),
        ("S3_DELIVERY", "both", "'stream' or 'redirect'"),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_it(
    name: str, value: str, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        build_container(load_settings())
    assert caught.value.message.startswith(f"{name}: ")
    assert part in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("redis://cache", "redis://cache:6379"),
        ("rediss://:p%40ss@cache:1/2?ssl_cert_reqs=none", "rediss://:p%40ss@cache:1/2?ssl_cert_reqs=none"),
        ("valkey://user:pass@[::1]/0", "redis://user:pass@[::1]:6379/0"),
        ("valkeys://cache:1", "rediss://cache:1"),
    ],
)
def test_the_url_of_counters_is_brought_into_the_form_of_their_client(given: str, meant: str) -> None:
    settings = Settings(PIXYPROXY_LIMITS_URL=given)  # type: ignore[call-arg, arg-type]
    assert settings.limits_url is not None
    assert settings.limits_url.get_secret_value() == meant
    assert meant not in repr(settings)


def test_a_missing_client_of_redis_is_said_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXYPROXY_LIMITS_URL", "redis://cache")
    monkeypatch.setitem(sys.modules, "redis", None)
    for name in [name for name in sys.modules if name.startswith("redis.") or name.endswith(".redis_storage")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(SettingsError, match=r"^PIXYPROXY_LIMITS_URL: .*pip install 'pixyproxy\[redis\]'"):
        build_container(load_settings()).user_service()


def test_settings_that_a_choice_needs_are_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXYPROXY_GENERATOR", "openai")
    with pytest.raises(SettingsError, match="OPENAI_API_KEY: is missing"):
        load_settings()
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("PIXYPROXY_REPOSITORY", "mysql")
    with pytest.raises(SettingsError, match="DB_HOST: is missing"):
        load_settings()


@pytest.mark.parametrize(
    ("values", "part"),
    [
        ({}, "S3_BUCKET: is missing"),
        ({"S3_BUCKET": "b-1", "AWS_ACCESS_KEY_ID": "key"}, "AWS_SECRET_ACCESS_KEY: is missing; set it with AWS_ACCESS"),
        ({"S3_BUCKET": "b-1", "AWS_SECRET_ACCESS_KEY": "s"}, "AWS_ACCESS_KEY_ID: is missing; set it with AWS_SECRET_"),
        ({"S3_BUCKET": "b-1", "PIXYPROXY_ACCEL_PREFIX": "/_images"}, "PIXYPROXY_ACCEL_PREFIX: needs PIXYPROXY_BLOB_"),
    ],
)
def test_settings_of_s3_that_do_not_fit_together(
    values: dict[str, str], part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"PIXYPROXY_BLOB_STORE": "s3", **values}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert caught.value.message.startswith(part)


def test_a_prefix_may_be_given_as_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S3_PREFIX", "/pixyproxy/pictures/")
    assert load_settings().s3_prefix == "pixyproxy/pictures"


@pytest.mark.parametrize("name", ["PIXYPROXY_REPOSITORY", "PIXYPROXY_BLOB_STORE"])
def test_several_workers_need_something_to_share(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "memory")
    assert load_settings().workers == 1
    monkeypatch.setenv("PIXYPROXY_WORKERS", "2")
    with pytest.raises(SettingsError, match=rf"^PIXYPROXY_WORKERS: must be 1 with {name}=memory, since workers"):
        load_settings()


def test_secrets_do_not_show() -> None:
    key = "a secret key of more than 32 characters"
    settings = Settings(OPENAI_API_KEY="sk-secret", DB_PASSWORD="hush", PIXYPROXY_SECRET_KEY=key)  # type: ignore[call-arg]
    assert "sk-secret" not in repr(settings)
    assert "hush" not in repr(settings)
    assert key not in repr(settings)


def test_a_secret_that_is_too_short_does_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXYPROXY_SECRET_KEY", "hush-hush")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert "hush" not in caught.value.message


@pytest.mark.parametrize("password", ["change-me", "change-me-too"])
def test_a_sample_password_is_refused(password: str, monkeypatch: pytest.MonkeyPatch) -> None:
    script = files("pixyproxy.adapters.mysql").joinpath("scripts", "0000_create_database_and_user.sql")
    assert f"IDENTIFIED BY '{password}'" in script.read_text(encoding="utf-8")
    monkeypatch.setenv("DB_PASSWORD", password)
    with pytest.raises(SettingsError, match=r"^DB_PASSWORD: is the sample password"):
        load_settings()


def test_origins_have_the_form_that_browsers_send(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXYPROXY_CORS_ORIGINS", " https://App.Example:443/ ,http://localhost:3000,*,")
    assert load_settings().cors_origins == ("https://app.example", "http://localhost:3000", "*")


def test_a_path_needs_no_slash_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXYPROXY_ACCEL_PREFIX", "/_images/")
    assert load_settings().accel_prefix == "/_images"


@pytest.mark.parametrize(
    ("generator", "setting", "anonymous"),
    [("sketch", "", "write"), ("openai", "", "read"), ("openai", "write", "write"), ("sketch", "none", "none")],
)
def test_anonymous_callers_spend_no_money_unless_configured(
    generator: str, setting: str, anonymous: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIXYPROXY_GENERATOR", generator)
    monkeypatch.setenv("PIXYPROXY_ANONYMOUS", setting)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    assert load_settings().anonymous == anonymous


@pytest.mark.parametrize(
    ("given", "meant"), [("[::]", "::"), ("[::1]", "::1"), ("fe80::1%eth0", "fe80::1%eth0"), ("db_1", "db_1")]
)
def test_a_host_is_a_name_or_an_address_without_brackets(given: str, meant: str) -> None:
    settings = Settings(PIXYPROXY_HOST=given, DB_HOST=given)  # type: ignore[call-arg]
    assert (settings.host, settings.db_host) == (meant, meant)
