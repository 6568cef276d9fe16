"""Versioned SQL scripts: reads them from the package, splits them, and applies those that are pending."""

import asyncio
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import NamedTuple

from pixyproxy.adapters.sql.backfill import FILLS, Report, Transact
from pixyproxy.adapters.sql.mapping import SELECT_IMAGE
from pixyproxy.adapters.sql.session import Session
from pixyproxy.domain.errors import SchemaVersionError

PROBES = (
    SELECT_IMAGE + " WHERE 1 = 0",
    "SELECT queued_call FROM images WHERE 1 = 0",
    "SELECT `user`, `password`, class_key, role, paused, valid_until, password_set_by FROM roster WHERE 1 = 0",
    "SELECT audience, term, image_id FROM image_postings WHERE 1 = 0",
    "SELECT key_id, digest, `user`, name, created_at, expires_at FROM api_keys WHERE 1 = 0",
    "SELECT digest, `user`, password_digest, created_at, expires_at FROM sessions WHERE 1 = 0",
    "SELECT name, owner, expires_at, position FROM maintenance_leases WHERE 1 = 0",
    "SELECT id, identity, state FROM store_identity WHERE 1 = 0",
    "SELECT `user`, name_key FROM removed_users WHERE 1 = 0",
    "SELECT guid, caller, class_key, model, reserved_at, reserved, cost, state, source, prices_of, tokens_in, "
    "tokens_out FROM charges WHERE 1 = 0",
    "SELECT day, digest, caller, class_key, model, pictures, failed, unknown, unpriced, tokens_in, tokens_out, spent, "
    "possibly FROM daily_sums WHERE 1 = 0",
    "SELECT digest, model, size, quality, usd FROM highest_costs WHERE 1 = 0",
    "SELECT scope, per, cap FROM budgets WHERE 1 = 0",
    "SELECT scope, holder, period, spent, reserved, possibly FROM budget_accounts WHERE 1 = 0",
    "SELECT id FROM ledger_lock WHERE 1 = 0",
)
"""Queries that fail if tables of these names exist and are not those of this program."""

_APPLIED = "SELECT version, name, checksum FROM schema_migrations ORDER BY version"
_APPLIED_WITH_FLOOR = "SELECT version, name, checksum, floor FROM schema_migrations ORDER BY version"
_RECORD = "INSERT INTO schema_migrations (version, name, checksum) VALUES (:version, :name, :checksum)"
_RECORD_WITH_FLOOR = """INSERT INTO schema_migrations (version, name, checksum, floor)
    VALUES (:version, :name, :checksum, :floor)"""
_FIRST_WITH_FLOOR = 6
"""Version of the script that adds the column `floor`."""

_NAME = re.compile(r"(\d{4})_\w+\.sql")
_FLOOR = re.compile(r"^-- floor: (\d+)[ \t\r]*$", re.MULTILINE)
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
    """One step of the schema; `checksum` shows whether the script has changed since it was applied."""

    version: int
    name: str
    sql: str

    @property
    def floor(self) -> int:
        """Lowest schema version that a program must know to run on a database with this script applied.

        Read from a comment line `-- floor: 5`; without one it is the script's own version, for a breaking change.
        """
        match = _FLOOR.search(self.sql)
        return int(match[1]) if match else self.version

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, in hexadecimal, whatever its line endings."""
        return hashlib.sha256("\n".join(self.sql.splitlines()).encode()).hexdigest()


class AppliedScript(NamedTuple):
    """A row of `schema_migrations`; `floor` is None for scripts applied before that column existed."""

    version: int
    name: str
    checksum: str
    floor: int | None = None


def load_scripts(package: str) -> tuple[Script, ...]:
    """Return the scripts of an adapter by version, without 0000, which is for the administrator."""
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


def read_applied(session: Session) -> list[AppliedScript]:
    """Return the applied scripts in order."""
    rows = session.fetch(_APPLIED, {})
    if any(version >= _FIRST_WITH_FLOOR for version, *_ in rows):
        rows = session.fetch(_APPLIED_WITH_FLOOR, {})
    return [AppliedScript(*row) for row in rows]


def record(session: Session, script: Script) -> None:
    """Record a script as applied."""
    values = {"version": script.version, "name": script.name, "checksum": script.checksum, "floor": script.floor}
    session.change(_RECORD if script.version < _FIRST_WITH_FLOOR else _RECORD_WITH_FLOOR, values)


def pending(scripts: Sequence[Script], applied: Sequence[AppliedScript]) -> list[Script]:
    """Return the scripts that are still to be applied.

    An unknown newer script is accepted if its floor says that this program can run on the schema it made.

    Raises:
        SchemaVersionError: An applied script has changed since, or is newer and breaking.
    """
    known = {script.version: script for script in scripts}
    newest = max(known, default=0)
    for version, name, checksum, floor in applied:
        if version not in known:
            if version > newest and floor is not None and floor <= newest:
                continue
            raise SchemaVersionError(
                f"The database was set up by a newer version of pixyproxy ({name} is not known here): update this one."
            )
        if known[version].checksum != checksum:
            raise SchemaVersionError(
                f"The script {known[version].name} has changed since it was applied to this database: "
                "restore it, and put the change in a new script."
            )
    done = {script.version for script in applied}
    return [script for script in scripts if script.version not in done]


def ensure_current(scripts: Sequence[Script], applied: Sequence[AppliedScript]) -> None:
    """Check that all of these scripts were applied, unchanged, and no newer one that breaks this program.

    Raises:
        SchemaVersionError: They were not; the message says what to do.
    """
    missing = pending(scripts, applied)
    if missing:
        names = ", ".join(script.name for script in missing)
        raise SchemaVersionError(f"The database lacks {names}: run `pixyproxy migrate`.")


def apply_pending(
    session: Session,
    scripts: Sequence[Script],
    applied: Sequence[AppliedScript],
    run: Callable[[Script], None],
    transact: Transact,
    *,
    on_script: Report,
    on_progress: Report,
) -> list[str]:
    """Apply the scripts that are still to be applied, each by `run`, and return their names.

    A fill may `transact` meanwhile, so another process may do the same work and record it.
    """
    done = []
    while todo := pending(scripts, applied):
        script = todo[0]
        on_script(script.name)
        run(script)
        if fill := FILLS.get(script.version):
            fill(session, on_progress, transact)
        if script in pending(scripts, applied := read_applied(session)):
            record(session, script)
            applied = read_applied(session)
        done.append(script.name)
    return done


async def run_migration(
    work: Callable[[Report, Report], list[str]], on_script: Report, on_progress: Report
) -> list[str]:
    """Return the result of `work`, run in a thread with reports that are passed on to the event loop."""
    loop = asyncio.get_running_loop()

    def on_loop(report: Report) -> Report:
        return lambda line: loop.call_soon_threadsafe(report, line)

    return await asyncio.to_thread(work, on_loop(on_script), on_loop(on_progress))


def ignore(line: str) -> None:
    """Drop a report."""


def foreign_tables() -> SchemaVersionError:
    """Return the error for tables of the right name and the wrong form."""
    return SchemaVersionError(
        "The database holds tables that are not those pixyproxy made: give it a database of its own, "
        "or restore the tables and run `pixyproxy migrate`."
    )


def _is_open_trigger(statement: str) -> bool:
    statement = statement.strip()
    return bool(_TRIGGER.match(statement)) and not _TRIGGER_END.search(statement)
