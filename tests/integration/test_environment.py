"""Settings in a file `.env`."""

import os
from pathlib import Path

import pytest

from pixyproxy.environment import load_settings
from pixyproxy.settings import Settings, SettingsError

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("PIXYPROXY_", "DB_", "OPENAI_", "OTEL_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_the_example_can_be_used_as_it_is(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text((ROOT / ".env.example").read_text())
    assert load_settings() == Settings()


def test_the_environment_goes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("PIXYPROXY_PORT=9000\nPIXYPROXY_HOST=0.0.0.0\n")
    monkeypatch.setenv("PIXYPROXY_PORT", "9001")
    settings = load_settings()
    assert (settings.port, settings.host) == (9001, "0.0.0.0")


def test_the_names_and_values_in_the_file_are_as_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/of/pixy")
    monkeypatch.setenv("PIXYPROXY_HOST", " ")
    (tmp_path / ".env").write_text(
        "\ufeffPIXYPROXY_PORT=9000  # a comment\n"
        "export PIXYPROXY_HOST='::1'\n"
        "DB_PASSWORD=p$ss${word}1\n"
        'OPENAI_API_KEY="sk-${HOME}$HOME"\n'
        "PIXYPROXY_IMAGES_DIR=~/pics\n"
        "pixyproxy_workers=2\r\n"
        "PIXYPROXY_ANONYMOUS=\n"
        "PIXYPROXY_LOG_LEVEL\n"
        "COMPOSE_PROJECT_NAME=of-another-program\n",
        encoding="utf-8",
        newline="",
    )
    settings = load_settings()
    assert (settings.port, settings.host, settings.workers) == (9000, "::1", 2)
    assert settings.db_password.get_secret_value() == "p$ss${word}1"
    assert settings.openai_api_key.get_secret_value() == "sk-${HOME}$HOME"
    assert settings.images_dir == Path("/home/of/pixy/pics")
    assert (settings.anonymous_setting, settings.log_level) == (None, "INFO")


def test_the_file_holds_variables_for_opentelemetry_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("OTEL_SERVICE_NAME", "outside"), ("OTEL_TRACES_SAMPLER", ""), ("OTEL_BSP_SCHEDULE_DELAY", "")):
        monkeypatch.setenv(name, value)
    (tmp_path / ".env").write_text(
        "OTEL_SERVICE_NAME=inside\nOTEL_TRACES_SAMPLER='always_on'\nOTEL_BSP_SCHEDULE_DELAY=\nOTHER_NAME=1\n"
    )
    load_settings()
    assert (os.environ["OTEL_SERVICE_NAME"], os.environ["OTEL_TRACES_SAMPLER"]) == ("outside", "always_on")
    assert os.environ["OTEL_BSP_SCHEDULE_DELAY"] == ""
    assert "OTHER_NAME" not in os.environ


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PIXYPROXY_HOST=\xff\xfe", ".env: is not UTF-8 text"),
        (b"PIXYPROXY_ANONYMUS=none\n", "PIXYPROXY_ANONYMUS: is not a setting (in .env); the nearest is PIXYPROXY_ANON"),
        (b"PIXYPROXY-ANONYMOUS=none\n", "PIXYPROXY-ANONYMOUS: is not a setting (in .env)"),
        (b'# first\nDB_PASSWORD="hush\nPIXYPROXY_PORT=1\n', ".env: line 2 is not of the form NAME=value"),
        (b"PIXYPROXY_ANONYMOUS: none\n", ".env: line 1 is not of the form NAME=value"),
        (None, ".env: cannot be read (Is a directory)"),
    ],
)
def test_a_file_that_is_not_understood_stops_the_start(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is None:
        (tmp_path / ".env").mkdir()
    else:
        (tmp_path / ".env").write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert caught.value.message.startswith(message)
    assert "hush" not in caught.value.message
