"""The environment and the file `.env`, and the settings in them: the only module that reads either."""

import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import SequenceMatcher, get_close_matches
from pathlib import Path

from dotenv.parser import parse_stream
from pydantic import ValidationError

from pixyproxy.settings import Settings, SettingsError

logger = logging.getLogger(__name__)

ENVIRONMENT_FILE = Path(".env")
_PREFIX = "PIXYPROXY_"
_EXACT = frozenset({"AWS_SECRET_ACCESS_KEY", "DB_PASSWORD", "PIXYPROXY_SECRET_KEY"})
"""Settings whose blanks and quotes may belong to the value."""
_USED_WITH = {
    "DB_": ("PIXYPROXY_REPOSITORY", "mysql"),
    "OPENAI_": ("PIXYPROXY_GENERATOR", "openai"),
    "S3_": ("PIXYPROXY_BLOB_STORE", "s3"),
}
"""Prefixes that other programs use too, and the choice with which their settings are read."""
_FAR = 0.15
"""Likeness by which a setting without our prefix must exceed others to be what a misspelt name with it means."""
_ALMOST_OURS = re.compile("P[IXY]{2}")
_SERVICE_LINK = re.compile(r"(tcp|udp|sctp)://")
_FOREIGN_NAME = re.compile(
    # Kubernetes sets these for a service of our name, or of one that begins so, such as pixyproxy-web.
    rf"{_PREFIX}(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
    # These are for the tests.
    rf"|{_PREFIX}REQUIRE_\w+"
)


def load_settings(**overrides: object) -> Settings:
    """Return the settings: the overrides, by name and unless None, before the environment, and that before `.env`.

    Names are case-blind. A blank value means the default. A name that looks like one of ours but is none stops the
    start, because the setting that was meant would be ignored. OpenTelemetry's SDK reads only the environment: what
    `.env` holds for it is put there.

    Raises:
        SettingsError: in one line that names each wrong setting.
    """
    known = {str(field.validation_alias) for field in Settings.model_fields.values()}
    given = {name: value for name, value in overrides.items() if value is not None}
    in_file, in_environment = _read_file(), dict(os.environ)
    wrong = [*_unknown(known, in_environment, ""), *_unknown(known, in_file, " (in .env)")]
    values = _settings_of(known, in_file) | _settings_of(known, in_environment)
    values = {name: value for name, value in values.items() if name not in given}
    wrong += _service_links(values)
    if wrong:
        raise SettingsError("; ".join(wrong))
    for name, value in in_file.items():
        if name.startswith("OTEL_") and value and not os.environ.get(name):
            os.environ[name] = value
    for hint in _near_misses(known, values, [*in_environment, *in_file]):
        logger.warning("%s", hint)
    try:
        return Settings(**values, **given)
    except ValidationError as error:
        problems = []
        for detail in error.errors(include_url=False, include_input=False):
            name = str(detail["loc"][0]) if detail["loc"] else "settings"
            problems.append(f"{name}: {detail['msg'].removeprefix('Value error, ')}")
        raise SettingsError("; ".join(problems)) from None


def service_manager_socket() -> str | None:
    """Return the address at which systemd waits for the state of the service, None without it."""
    return os.environ.get("NOTIFY_SOCKET") or None


def _read_file() -> dict[str, str]:
    """Return the values in `.env` as they are: `$` stands for itself, also in passwords."""
    try:
        # Editors on Windows begin files with a byte order mark.
        with ENVIRONMENT_FILE.open(encoding="utf-8-sig") as stream:
            bindings = list(parse_stream(stream))
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as error:
        raise SettingsError(f".env: is not UTF-8 text ({error.reason}); save it as UTF-8") from None
    except OSError as error:
        raise SettingsError(
            f".env: cannot be read ({error.strerror}); make it a file that the service may read"
        ) from None
    for binding in bindings:
        if binding.error:
            raise SettingsError(
                f".env: line {binding.original.line} is not of the form NAME=value, or a quote in it has no end"
            )
    return {binding.key: binding.value or "" for binding in bindings if binding.key is not None}


def _settings_of(known: set[str], source: Mapping[str, str]) -> dict[str, str]:
    """Return the settings in a source that are not blank, by their names in capitals.

    Raises:
        SettingsError: if one is set twice, in different cases, or holds characters that none can have.
    """
    values: dict[str, str] = {}
    for name, text in source.items():
        setting = name.upper()
        value = _clean(setting, text) if setting in known else ""
        if value and values.setdefault(setting, value) != value:
            raise SettingsError(f"{setting}: is set twice, in capitals and in small letters; remove one of them")
    return values


def _clean(name: str, text: str) -> str:
    """Return a value without what surrounds it: the end of its line, and blanks or quotes if they cannot belong to it.

    Quotes stay around a value where it passes no shell, as in Docker's `--env-file`.
    """
    text = text.rstrip("\r\n")
    if name not in _EXACT:
        text = text.strip()
        if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
            text = text[1:-1].strip()
        if any(ord(character) < 0x20 for character in text):
            raise SettingsError(f"{name}: holds a control character; remove it")
    if any(0xD800 <= ord(character) <= 0xDFFF for character in text):
        raise SettingsError(f"{name}: is not UTF-8 text; write it as UTF-8")
    return text


def _unknown(known: set[str], source: Mapping[str, str], place: str) -> Iterator[str]:
    """Yield a message for each name that can only be meant as one of our settings and is none."""
    ours = [name for name in known if name.startswith(_PREFIX)]
    for name, value in source.items():
        capitals = name.upper()
        if capitals in known or _FOREIGN_NAME.fullmatch(capitals):
            continue
        if capitals.endswith("_PORT") and _SERVICE_LINK.match(value):
            continue
        if capitals.startswith(_PREFIX):
            rest = capitals.removeprefix(_PREFIX)
            nearest = max(sorted(known), key=lambda one: _likeness(one, rest))
        elif _ALMOST_OURS.match(capitals) and (found := get_close_matches(capitals, ours, 1, 0.85)):
            nearest = found[0]
        else:
            continue
        yield f"{name}: is not a setting{place}; the nearest is {nearest} (.env.example lists all)"


def _service_links(values: Mapping[str, str]) -> Iterator[str]:
    """Yield a message for each port that Kubernetes has set, which goes before a port in `.env` as well."""
    for name, value in values.items():
        if name.endswith("_PORT") and _SERVICE_LINK.match(value):
            service = name.removesuffix("_PORT").lower()
            yield (
                f"{name}: is {value!r}, which Kubernetes sets for a service named {service!r}; set "
                f"`enableServiceLinks: false` in the pod, rename the service, or set {name} to a number there"
            )


def _near_misses(known: set[str], values: Mapping[str, str], names: Iterable[str]) -> Iterator[str]:
    """Yield a hint for each name like an unset setting whose prefix other programs use too: it may be theirs."""
    for prefix, (choice, needed) in _USED_WITH.items():
        if values.get(choice) != needed:
            continue
        unset = [name for name in known if name.startswith(prefix) and name not in values]
        for name in sorted(set(names)):
            foreign = name.upper().startswith(prefix) and name.upper() not in known
            if foreign and (found := get_close_matches(name.upper(), unset, 1, 0.75)):
                yield f"{name} is not a setting of PixyProxy and is ignored; {found[0]} is one"


def _likeness(name: str, rest: str) -> float:
    """Return how much a setting is like what follows our prefix, which says nothing; some have none, as DB_HOST."""
    handicap = 0 if name.startswith(_PREFIX) else _FAR
    return SequenceMatcher(None, name.removeprefix(_PREFIX), rest).ratio() - handicap
