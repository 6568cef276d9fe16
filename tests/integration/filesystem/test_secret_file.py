"""The secret of the service in a file: created once by the first process, and never replaced."""

import errno
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pixyproxy.adapters.filesystem.secret_file import SecretError, read_or_create_secret
from tests.fixtures.filesystem.calls import Call, FaultyCalls


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "data" / "secret.key"


def test_the_secret_is_created_with_its_folder_for_its_owner_alone(path: Path) -> None:
    secret = read_or_create_secret(path)
    assert len(secret) == 32
    assert path.read_bytes() == secret
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_a_secret_stays_the_same_and_no_two_are_equal(path: Path, tmp_path: Path) -> None:
    secret = read_or_create_secret(path)
    assert read_or_create_secret(path) == secret
    assert read_or_create_secret(tmp_path / "other.key") != secret


def test_an_existing_secret_is_used_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    path.write_bytes(b" 32 or more characters of a person\n")
    assert read_or_create_secret(path) == b" 32 or more characters of a person\n"


def test_the_secret_is_flushed_before_it_gets_its_name(path: Path) -> None:
    path.parent.mkdir(parents=True)
    calls = FaultyCalls()
    read_or_create_secret(path, calls)
    steps = [f"{call.name} {'secret' if call.path == path else call.kind}" for call in calls.calls]
    changes = [step for step in steps if not step.startswith(("open", "close", "pread"))]
    assert changes == [
        "create temporary",
        "write temporary",
        "fsync temporary",
        "link secret",
        "unlink temporary",
        "fsync folder",
    ]


def test_the_second_of_two_uses_the_secret_of_the_first(path: Path) -> None:
    first: list[bytes] = []

    def overtake(call: Call, number: int) -> None:
        if call.name == "link":
            first.append(read_or_create_secret(path))

    assert [read_or_create_secret(path, FaultyCalls(overtake))] == first == [path.read_bytes()]
    assert list(path.parent.iterdir()) == [path]


def test_processes_that_start_at_once_get_the_same_secret(path: Path) -> None:
    code = (
        "import sys; from pathlib import Path;"
        "from pixyproxy.adapters.filesystem.secret_file import read_or_create_secret;"
        "sys.stdin.readline(); print(read_or_create_secret(Path(sys.argv[1])).hex())"
    )
    command = [sys.executable, "-c", code, str(path)]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(4)]
    with ThreadPoolExecutor(4) as executor:
        said = [done[0] for done in executor.map(lambda process: process.communicate(b"now\n", 60), processes)]
    assert set(said) == {path.read_bytes().hex().encode() + b"\n"}


@pytest.mark.parametrize("content", [b"", b"x" * 31, b"x" * 5000])
def test_a_file_that_is_no_secret_is_refused_and_not_changed(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    path.write_bytes(content)
    with pytest.raises(SecretError, match=r"restore it from a backup, or remove it .* PIXYPROXY_SECRET_KEY") as caught:
        read_or_create_secret(path)
    assert str(path) in caught.value.message
    assert path.read_bytes() == content


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SecretError, match=r"Is a directory.*set PIXYPROXY_SECRET_KEY to 32 or more") as caught:
        read_or_create_secret(tmp_path)
    assert str(tmp_path) in caught.value.message
    closed = FaultyCalls(lambda call, number: errno.EACCES if call.name == "open" else None)
    with pytest.raises(SecretError, match="Permission denied"):
        read_or_create_secret(tmp_path / "secret.key", closed)
    assert list(tmp_path.iterdir()) == []


def test_a_dangling_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.key").symlink_to("elsewhere")
    with pytest.raises(SecretError, match="No such file"):
        read_or_create_secret(tmp_path / "secret.key")
    assert [file.name for file in tmp_path.iterdir()] == ["secret.key"]


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("no folder")
    with pytest.raises(SecretError, match="Not a directory"):
        read_or_create_secret(tmp_path / "data" / "secret.key")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EPERM])
@pytest.mark.parametrize("step", ["mkdir", "create", "write", "link"])
def test_a_failed_creation_leaves_no_file(step: str, code: int, path: Path) -> None:
    calls = FaultyCalls(lambda call, number: code if call.name == step else None)
    with pytest.raises(SecretError) as caught:
        read_or_create_secret(path, calls)
    assert os.strerror(code) in caught.value.message
    assert [file for file in path.parent.parent.rglob("*") if file.is_file()] == []
    assert len(read_or_create_secret(path)) == 32


def test_a_secret_that_cannot_be_flushed_is_not_used(path: Path) -> None:
    path.parent.mkdir(parents=True)
    for kind in ("temporary", "folder"):
        calls = FaultyCalls(lambda call, number, kind=kind: errno.EIO if str(call) == f"fsync {kind}" else None)  # type: ignore[misc]
        with pytest.raises(SecretError):
            read_or_create_secret(path, calls)
