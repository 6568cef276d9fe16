"""Names and values in the environment: misspelt ones, those of others, and what surrounds a value."""

import logging
import os
from pathlib import Path

import pytest

from pixyproxy.environment import load_settings
from pixyproxy.settings import SettingsError


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith(("PIXYPROXY_", "DB_", "OPENAI_", "S3_", "AWS_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(Path(__file__).parent)  # where there is no .env


def refused(monkeypatch: pytest.MonkeyPatch, **values: str) -> str:
    """Set these in the environment and return the message that stops the start."""
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert "\n" not in caught.value.message
    return caught.value.message


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("PIXYPROXY_ANONYMUS", "PIXYPROXY_ANONYMOUS"),
        ("PIXYPROXY_ANONYMOUS_", "PIXYPROXY_ANONYMOUS"),
        ("PIXYPROXY_IMAGE_DIR", "PIXYPROXY_IMAGES_DIR"),
        ("PIXYPROXY_DB_PASSWORD", "DB_PASSWORD"),
        ("PIXYPROXY_OPENAI_API_KEY", "OPENAI_API_KEY"),
        ("PIXYPROXY_MODEL", "PIXYPROXY_OPENAI_MODEL"),
        ("pixyproxy_anonymus", "PIXYPROXY_ANONYMOUS"),
        ("PIXIPROXY_ANONYMOUS", "PIXYPROXY_ANONYMOUS"),
        ("PIXY_PROXY_ANONYMOUS", "PIXYPROXY_ANONYMOUS"),
        ("PIXYPROXY_REQUIRE", "PIXYPROXY_"),
        ("PIXYPROXY_PORT_8001", "PIXYPROXY_PORT"),
        ("PYXIPROXY_ANONYMOUS", "PIXYPROXY_ANONYMOUS"),
        ("PIXYPROXY.PORT", "PIXYPROXY_PORT"),
        ("PIXYPROXY_HTTP_PORT", "PIXYPROXY_PORT"),
        ("PIXYPROXY_API_KEY", "OPENAI_API_KEY"),
        ("PIXYPROXY_", "PIXYPROXY_"),
    ],
)
def test_a_misspelt_name_is_refused_with_the_nearest(name: str, nearest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    message = refused(monkeypatch, **{name: "none"})
    assert message.startswith(f"{name}: is not a setting; the nearest is {nearest}")


def test_an_empty_value_of_a_misspelt_name_is_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "PIXYPROXY_PORT" in refused(monkeypatch, PIXYPROXY_PROT="")


def test_all_misspelt_names_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    message = refused(monkeypatch, PIXYPROXY_PROT="1", PIXYPROXY_HOTS="::1")
    assert "PIXYPROXY_PROT: " in message
    assert "; PIXYPROXY_HOTS: " in message or "; PIXYPROXY_PROT: " in message


def test_names_of_kubernetes_and_of_the_tests_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "PIXYPROXY_SERVICE_HOST",
        "PIXYPROXY_SERVICE_PORT",
        "PIXYPROXY_SERVICE_PORT_HTTP",
        "PIXYPROXY_PORT_8001_TCP",
        "PIXYPROXY_PORT_8001_TCP_PROTO",
        "PIXYPROXY_PORT_8001_TCP_PORT",
        "PIXYPROXY_PORT_8001_TCP_ADDR",
        "PIXYPROXY_PORT_53_UDP_ADDR",
        "PIXYPROXY_WEB_SERVICE_HOST",
        "PIXYPROXY_WEB_PORT_80_TCP",
        "PIXYPROXY_REQUIRE_MYSQL",
        "PIXYPROXY_REQUIRE_S3",
        "_PIXYPROXY_COMPLETE",
        "PIXEL_PORT",
        "TINYPROXY_PORT",
        "HTTP_PROXY",
    ):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("PIXYPROXY_WEB_PORT", "tcp://10.0.0.1:80")
    assert load_settings().port == 8001


@pytest.mark.parametrize(
    ("name", "value", "service"),
    [
        ("PIXYPROXY_PORT", "tcp://10.0.0.1:8001", "pixyproxy"),
        ("PIXYPROXY_PORT", "tcp://[fd00::1]:8001", "pixyproxy"),
        ("DB_PORT", "tcp://10.0.0.2:3306", "db"),
    ],
)
def test_a_port_set_by_kubernetes_is_said_with_its_cause(
    name: str, value: str, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = refused(monkeypatch, **{name: value})
    assert message.startswith(f"{name}: is '{value}', which Kubernetes sets for a service named '{service}'")
    assert "enableServiceLinks: false" in message


def test_an_override_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXYPROXY_PORT", "tcp://10.0.0.1:8001")
    monkeypatch.setenv("PIXYPROXY_HOST", "::1")
    settings = load_settings(PIXYPROXY_PORT=9000, PIXYPROXY_HOST=None)
    assert (settings.port, settings.host) == (9000, "::1")


@pytest.mark.parametrize(
    ("values", "hints"),
    [
        ({"DB_PASSWROD": "hush"}, ["DB_PASSWROD is not a setting of PixyProxy and is ignored; DB_PASSWORD is one"]),
        ({"DB_PASS": "hush", "DB_PASSWORD": "hush"}, []),
        ({"DB_MAX_CONNECTIONS": "5"}, []),
        ({"DB_PASSWROD": "hush", "PIXYPROXY_REPOSITORY": "sqlite"}, []),
        ({"OPENAI_BASEURL": "http://x"}, []),
        (
            {"OPENAI_BASEURL": "http://x", "PIXYPROXY_GENERATOR": "openai", "OPENAI_API_KEY": "sk-x"},
            ["OPENAI_BASEURL is not a setting of PixyProxy and is ignored; OPENAI_BASE_URL is one"],
        ),
        (
            {"S3_ENDPOINT": "http://x", "PIXYPROXY_BLOB_STORE": "s3", "S3_BUCKET": "pictures"},
            ["S3_ENDPOINT is not a setting of PixyProxy and is ignored; S3_ENDPOINT_URL is one"],
        ),
        ({"OPENAI_ORG_ID": "o", "PIXYPROXY_GENERATOR": "openai", "OPENAI_API_KEY": "sk-x"}, []),
    ],
)
def test_a_near_miss_that_may_be_of_another_program_is_a_warning(
    values: dict[str, str],
    hints: list[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    mysql = {"PIXYPROXY_REPOSITORY": "mysql", "DB_HOST": "h", "DB_USER": "u"}
    for name, value in (mysql | values).items():
        monkeypatch.setenv(name, value)
    load_settings()
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, hint) for hint in hints
    ]


def test_names_are_case_blind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("pixyproxy_port", "9000")
    monkeypatch.setenv("Db_Name", "other")
    settings = load_settings()
    assert (settings.port, settings.db_name) == (9000, "other")
    monkeypatch.setenv("PIXYPROXY_PORT", "9000")
    assert load_settings().port == 9000
    assert refused(monkeypatch, PIXYPROXY_PORT="9001").startswith("PIXYPROXY_PORT: is set twice")


@pytest.mark.parametrize("value", ["9000", " 9000 ", '"9000"', "'9000'", "9000\r", "9000\n", '" 9000 "', '  "9000"'])
def test_blanks_and_quotes_around_a_value_do_not_count(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXYPROXY_PORT", value)
    assert load_settings().port == 9000


@pytest.mark.parametrize("value", ["", " ", "\t", '""', "''", "' '", "\r\n"])
def test_a_blank_value_means_the_default(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PIXYPROXY_PORT", "PIXYPROXY_ANONYMOUS", "OPENAI_BASE_URL", "PIXYPROXY_CORS_ORIGINS", "DB_SSL_CA"):
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert (settings.port, settings.anonymous_setting, settings.openai_base_url) == (8001, None, None)
    assert (settings.cors_origins, settings.db_ssl_ca) == ((), None)


def test_a_password_keeps_its_blanks_and_quotes_but_not_the_end_of_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DB_PASSWORD", "PIXYPROXY_SECRET_KEY"):
        monkeypatch.setenv(name, ' "p$ss${word}1 and many more characters" \n')
    settings = load_settings()
    for value in (settings.db_password, settings.secret_key):
        assert value.get_secret_value() == ' "p$ss${word}1 and many more characters" '


def test_text_that_no_setting_can_have_is_refused_without_showing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refused(monkeypatch, OPENAI_API_KEY="sk-a\nsk-b").startswith("OPENAI_API_KEY: holds a control character")
    monkeypatch.delenv("OPENAI_API_KEY")
    message = refused(monkeypatch, DB_PASSWORD="h\udcfcsh")
    assert message.startswith("DB_PASSWORD: is not UTF-8 text")
    assert "sh;" not in message


@pytest.mark.parametrize("name", ["PIXYPROXY_DATA_DIR", "PIXYPROXY_IMAGES_DIR"])
def test_a_path_may_begin_with_the_home_folder(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/of/pixy")
    monkeypatch.setenv(name, "~/pics")
    settings = load_settings()
    assert Path("/home/of/pixy/pics") in (settings.data_dir, settings.images_dir)
    monkeypatch.setenv(name, "a~/~")
    settings = load_settings()
    assert Path("a~/~") in (settings.data_dir, settings.images_dir)
    assert refused(monkeypatch, **{name: "~no-such-user/pics"}).startswith(f"{name}: begins with ~no-such-user")


@pytest.mark.parametrize(
    "value", ["$HOME/pics", "${HOME}/pics", "$HOME", "/srv/${NAME}", "${PICS:-/srv/pics}", "$(pwd)/pics", "`pwd`/pics"]
)
def test_a_variable_in_a_path_is_not_taken_for_a_folder(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    message = refused(monkeypatch, PIXYPROXY_IMAGES_DIR=value)
    assert message.startswith("PIXYPROXY_IMAGES_DIR: holds a variable, which is not replaced")
    monkeypatch.setenv("PIXYPROXY_IMAGES_DIR", "/srv/p$1c$")
    assert load_settings().images_dir == Path("/srv/p$1c$")
