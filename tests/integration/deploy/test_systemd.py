"""The unit for systemd: what systemd says of it, and the states that the service sends."""

import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pixyproxy.entrypoints.http.service_manager import READY, STOPPING, notify
from pixyproxy.settings import Settings
from tests.fixtures.service import PATIENCE_S, Service

UNIT = Path(__file__).parents[3] / "deploy" / "systemd" / "pixyproxy.service"


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.settimeout(PATIENCE_S)
        yield receiver


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_service_says_that_it_is_ready_and_that_it_stops(
    tmp_path: Path, manager: socket.socket, workers: str
) -> None:
    (tmp_path / "service").mkdir()
    settings = {"PIXYPROXY_WORKERS": workers, "NOTIFY_SOCKET": str(tmp_path / "notify")}
    with Service(tmp_path / "service", **settings) as service:
        assert manager.recv(100).decode() == READY
        with service.client() as client:
            assert client.get("/readyz").status_code == 200
        service.signal(signal.SIGTERM)
        assert manager.recv(100).decode() == STOPPING
        assert service.wait() == 0


def test_an_abstract_socket_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name = f"pixyproxy{tmp_path}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(f"\0{name}")
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        notify(READY)
        assert receiver.recv(100).decode() == READY


def test_a_socket_that_is_gone_is_logged(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    notify(READY)
    assert "systemd cannot be told READY=1: No such file or directory" in caplog.text


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed here")
    text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text(), flags=re.MULTILINE)
    unit = tmp_path / "pixyproxy.service"
    unit.write_text(text.replace("User=pixyproxy", "User=root"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False)
    assert [line for line in done.stderr.splitlines() if "pixyproxy.service" in line] == []


def test_the_time_to_stop_is_above_the_drain() -> None:
    found = dict(line.split("=", 1) for line in UNIT.read_text().splitlines() if re.match(r"\w+=", line))
    settings = Settings()
    assert int(found["TimeoutStopSec"]) >= settings.drain_s + 10
    assert int(found["TimeoutStartSec"]) > settings.start_wait_s
    assert (found["Type"], found["NotifyAccess"]) == ("notify", "main")
