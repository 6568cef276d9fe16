"""Versioned SQL scripts: reads them from the package, splits them, and finds which are still to be applied."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files

from pixyproxy.adapters.sql.mapping import SELECT_IMAGE
from pixyproxy.domain.errors import SchemaVersionError

PROBES = (
    SELECT_IMAGE + " WHERE 1 = 0",
    "SELECT `user`, `password`, class_key FROM roster WHERE 1 = 0",
    "SELECT image_id, position, tag FROM image_tags WHERE 1 = 0",
    "SELECT term, image_id FROM image_terms WHERE 1 = 0",
    "SELECT key_id, digest, `user`, name, created_at, expires_at FROM api_keys WHERE 1 = 0",
    "SELECT image_id, position, source_guid FROM image_sources WHERE 1 = 0",
    "SELECT image_id FROM image_stragglers WHERE 1 = 0",
)
"""Queries that fail where tables of these names exist and are not ours."""

APPLIED = "SELECT version, name, checksum FROM schema_migrations ORDER BY version"
RECORD = "INSERT INTO schema_migrations (version, name, checksum) VALUES (:version, :name, :checksum)"

_NAME = re.compile(r"(\d{4})_\w+\.sql")
_TRIGGER = re.compile(r"CREATE\s+(TEMP\s+|TEMPORARY\s+)?TRIGGER\b", re.IGNORECASE)
_TRIGGER_END = re.compile(r"\bEND\Z", re.IGNORECASE)
_TOKEN = re.compile(
    r"""'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"|`(?:[^`]|``)*`   # quoted text and names
    |(?P<comment>--(?:[ \t][^\n]*|(?=\r?\n)|\Z)|/\*.*?\*/)
    |(?P<end>;)
    |.""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Script:
    """One step of the schema; `checksum` tells whether the script is still what was applied."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, in hexadecimal; the way lines end does not count."""
        return hashlib.sha256("\n".join(self.sql.splitlines()).encode()).hexdigest()


def load_scripts(package: str) -> tuple[Script, ...]:
    """The scripts of an adapter in the order of their versions, without 0000, which is the administrator's."""
    found = []
    for file in files(package).joinpath("scripts").iterdir():
        match = _NAME.fullmatch(file.name)
        if match and int(match[1]) > 0:
            found.append(Script(int(match[1]), file.name, file.read_text(encoding="utf-8")))
    return tuple(sorted(found, key=lambda script: script.version))


def split_statements(sql: str) -> Iterator[str]:
    """Yield the statements of a script without comments; semicolons in quotes and trigger bodies end nothing."""
    statement = ""
    for token in _TOKEN.finditer(sql):
        if token["comment"]:
            statement += " "
        elif not token["end"] or _is_open_trigger(statement):
            statement += token[0]
        else:
            if statement.strip():
                yield statement.strip()
            statement = ""
    if statement.strip():
        yield statement.strip()


def pending(scripts: Sequence[Script], applied: Sequence[tuple[int, str, str]]) -> list[Script]:
    """The scripts that are still to be applied, given version, name and checksum of those that were.

    Raises SchemaVersionError if an applied script has been changed since or is not known here.
    """
    known = {script.version: script for script in scripts}
    for version, name, checksum in applied:
        if version not in known:
            raise SchemaVersionError(
                f"The database was set up by a newer version of pixyproxy ({name} is not known here): update this one."
            )
        if known[version].checksum != checksum:
            raise SchemaVersionError(
                f"The script {known[version].name} has changed since it was applied to this database: "
                "restore it, and put the change in a new script."
            )
    done = {version for version, _, _ in applied}
    return [script for script in scripts if script.version not in done]


def ensure_current(scripts: Sequence[Script], applied: Sequence[tuple[int, str, str]]) -> None:
    """Raise SchemaVersionError, saying what to do, unless exactly these scripts were applied, unchanged."""
    missing = pending(scripts, applied)
    if missing:
        names = ", ".join(script.name for script in missing)
        raise SchemaVersionError(f"The database lacks {names}: run `pixyproxy migrate`.")


def foreign_tables() -> SchemaVersionError:
    """The error for tables of the right name that are not of the right form."""
    return SchemaVersionError(
        "The database holds tables that are not those pixyproxy made: give it a database of its own, "
        "or restore the tables and run `pixyproxy migrate`."
    )


def _is_open_trigger(statement: str) -> bool:
    statement = statement.strip()
    return bool(_TRIGGER.match(statement)) and not _TRIGGER_END.search(statement)
