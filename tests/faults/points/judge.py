"""What must hold of a world whose last process was interrupted, once it has been put in order."""

import json

from tests.faults.points.world import World, file_of, sha256_of
from tests.fixtures.openai.pictures import picture


def violations(world: World) -> list[str]:
    """Everything that breaks the promise; empty if nothing does."""
    return [*_rows(world), *_files(world), *_acknowledged(world), *_charges(world)]


def _rows(world: World) -> list[str]:
    wrong = []
    files = world.files()
    for row in world.rows().values():
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


def _files(world: World) -> list[str]:
    """Nothing lies about: what is not in quarantine belongs to a row.

    Of an image that was lost on the way the description may be left, for its row says no less; and a description
    alone in the rescue folder, which is not searched for debris, because others may use it.
    """
    expected = {name for name in world.files() if name.startswith("data/rescue/") and name.endswith(".json")}
    for row in world.rows().values():
        suffixes = (".bin", ".json") if row.status == "ready" else (".json",)
        expected |= {file_of(row.guid, suffix) for suffix in suffixes}
    return [f"debris: {name}" for name in sorted(set(world.files()) - expected)]


def _acknowledged(world: World) -> list[str]:
    """What the client was told is so, and stays so."""
    rows, told = world.rows(), world.told()
    deleted = {fact["guid"] for fact in told if fact["event"] == "deleted"}
    attempted = {fact["guid"] for fact in told if fact["event"] == "deleting"}
    wrong = [f"{guid} was deleted and is there" for guid in deleted & set(rows)]
    for fact in told:
        row = rows.get(fact.get("guid") or "")
        if fact["event"] == "created" and fact["guid"] not in deleted:
            if row is None and fact["guid"] not in attempted:
                wrong.append(f"acknowledged and lost: {fact}")
            elif row is not None and (row.status, row.sha256) != ("ready", fact["sha256"]):
                wrong.append(f"acknowledged and altered: {fact}, {row}")
        if fact["event"] == "updated" and (row is None or row.filename != "after.png"):
            wrong.append(f"changed and forgotten: {row}")
    return wrong


def _charges(world: World) -> list[str]:
    rows, told = world.rows(), world.told()
    gone = {fact["prompt"] for fact in told if fact["event"] == "created" and fact["guid"] not in rows}
    wrong = []
    for prompt in {line for line in world.ledger.read_text().splitlines() if line}:
        if world.charges(prompt) > 1:
            wrong.append(f"{prompt!r} was paid for {world.charges(prompt)} times")
        statuses = {row.status for row in rows.values() if row.prompt == prompt}
        if not statuses & {"ready", "unknown"} and prompt not in gone:
            wrong.append(f"{prompt!r} was paid for and no row says so")
    return wrong
