"""Invariants of a sandbox after an interruption and a reconciliation."""

import json

from tests.faults.charged import disagreements
from tests.faults.crash_points.sandbox import Sandbox, file_of, sha256_of
from tests.fixtures.openai.pictures import picture


def violations(sandbox: Sandbox) -> list[str]:
    """Return everything that breaks the promise; empty if nothing does."""
    return [
        *_rows(sandbox),
        *_files(sandbox),
        *_acknowledged(sandbox),
        *_charges(sandbox),
        *disagreements(sandbox.query, all_charged=False),
    ]


def _rows(sandbox: Sandbox) -> list[str]:
    wrong = []
    files = sandbox.files()
    for row in sandbox.rows().values():
        data, sidecar = files.get(file_of(row.guid, ".bin")), files.get(file_of(row.guid, ".json"))
        if row.status == "ready":
            if data != picture(row.prompt) or sha256_of(data) != row.sha256 or len(data) != row.size_bytes:
                wrong.append(f"{row} is ready and its bytes are not whole")
            if sidecar is None or json.loads(sidecar)["sha256"] != row.sha256:
                wrong.append(f"{row} is ready and its sidecar does not describe it")
        elif row.status not in {"failed", "unknown"}:
            wrong.append(f"{row} is not settled")
        elif data is not None:
            wrong.append(f"{row} has bytes all the same")
    return wrong


def _files(sandbox: Sandbox) -> list[str]:
    """Return the files outside of quarantine that belong to no row.

    Of an image that was lost on the way the description may be left, for its row says no less; and a description
    alone in the rescue folder, which is not searched for debris, because others may use it.
    """
    expected = {name for name in sandbox.files() if name.startswith("data/rescue/") and name.endswith(".json")}
    for row in sandbox.rows().values():
        suffixes = (".bin", ".json") if row.status == "ready" else (".json",)
        expected |= {file_of(row.guid, suffix) for suffix in suffixes}
    return [f"debris: {name}" for name in sorted(set(sandbox.files()) - expected)]


def _acknowledged(sandbox: Sandbox) -> list[str]:
    """Compare the rows with what responses acknowledged."""
    rows, responses = sandbox.rows(), sandbox.responses()
    deleted = {fact["guid"] for fact in responses if fact["event"] == "deleted"}
    attempted = {fact["guid"] for fact in responses if fact["event"] == "deleting"}
    wrong = [f"{guid} was deleted and is there" for guid in deleted & set(rows)]
    for fact in responses:
        row = rows.get(fact.get("guid") or "")
        if fact["event"] == "created" and fact["guid"] not in deleted:
            if row is None and fact["guid"] not in attempted:
                wrong.append(f"acknowledged and lost: {fact}")
            elif row is not None and (row.status, row.sha256) != ("ready", fact["sha256"]):
                wrong.append(f"acknowledged and altered: {fact}, {row}")
        if fact["event"] == "updated" and (row is None or row.filename != "after.png"):
            wrong.append(f"changed and forgotten: {row}")
    return wrong


def _charges(sandbox: Sandbox) -> list[str]:
    rows, responses = sandbox.rows(), sandbox.responses()
    gone = {fact["prompt"] for fact in responses if fact["event"] == "created" and fact["guid"] not in rows}
    wrong = []
    for prompt in {line for line in sandbox.ledger.read_text().splitlines() if line}:
        if sandbox.charges(prompt) > 1:
            wrong.append(f"{prompt!r} was paid for {sandbox.charges(prompt)} times")
        statuses = {row.status for row in rows.values() if row.prompt == prompt}
        if not statuses & {"ready", "unknown"} and prompt not in gone:
            wrong.append(f"{prompt!r} was paid for and no row says so")
    return wrong
