"""The log lines of commands that change something: there if the operator sets a level, and never with a secret."""

from pathlib import Path

from tests.fixtures.service import pixyproxy

PASSWORD = "correct horse battery staple"


def test_commands_log_what_they_change_if_a_level_is_set(tmp_path: Path) -> None:
    lines: list[str] = []
    output: list[str] = []

    def run(*arguments: str, stdin: str = "") -> str:
        done = pixyproxy(tmp_path, *arguments, stdin=stdin, PIXYPROXY_LOG_LEVEL="INFO")
        assert done.returncode == 0, done.stderr
        logged = [line for line in done.stderr.splitlines() if " INFO - [" in line]
        lines.extend(line.partition("] ")[2].partition("] ")[2] for line in logged)
        output.extend((done.stdout, done.stderr))
        return done.stdout

    run("user", "add", "ann", "--class-key", "9a", stdin=f"{PASSWORD}\n")
    run("user", "passwd", "ann", stdin=f"{PASSWORD}!\n")
    run("user", "role", "ann", "teacher")
    run("user", "pause", "ann")
    run("user", "resume", "ann")
    key_id = run("key", "add", "ann")[:12]
    run("key", "revoke", key_id)
    run("budget", "set", "class:9a", "20")
    run("budget", "remove", "class:9a")
    roster = tmp_path / "9a.csv"
    roster.write_text(f"user,password\nann,{PASSWORD}?\nben,\n")
    run("user", "import", str(roster), "--dry-run")
    run("user", "import", str(roster), "--keys")
    run("user", "remove", "ann")
    by = "command line"
    assert lines == [
        f"{by} added the user ann (student, class 9a)",
        f"{by} changed the user ann: password, password_set_by",
        f"{by} changed the user ann: role",
        f"{by} changed the user ann: paused",
        f"{by} changed the user ann: paused",
        f"{by} added the key {key_id} of ann",
        f"{by} revoked the key {key_id}",
        f"{by} set the budget class:9a: 20.000000 USD per month",
        f"{by} removed the budget class:9a",
        f"{by} imported 2 users: 2 added or changed, 2 keys",
        f"{by} removed the user ann",
    ]
    assert not [text for text in output if PASSWORD in text]


def test_without_a_level_they_print_only(tmp_path: Path) -> None:
    done = pixyproxy(tmp_path, "user", "add", "ann", stdin=f"{PASSWORD}\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "added ann\n", "")
