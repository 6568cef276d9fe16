"""A real `pixyproxy serve` process for tests: folders of its own, a free port, chosen settings, a captured log.

with Service(tmp_path, PIXYPROXY_ANONYMOUS="read") as service:
    service.add_user("alice", "secret")
    httpx.get(f"{service.url}/image")
assert "REQUEST END" in service.log
"""

import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Self

import httpx

from pixyproxy.containers import build_container, opened
from pixyproxy.settings import Settings
from tests.mysql_servers import in_thread

PATIENCE_S = 60
"""So long that only what hangs is found out by it."""

COMMAND = [sys.executable, "-m", "pixyproxy"]


def environment(folder: Path, **values: str) -> dict[str, str]:
    """The environment of a pixyproxy process that keeps everything below a folder; no setting is inherited."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("PIXYPROXY_", "DB_", "OPENAI_"))
    }
    own = {"PIXYPROXY_DATA_DIR": str(folder / "data"), "PIXYPROXY_IMAGES_DIR": str(folder / "images")}
    return inherited | own | {"PIXYPROXY_PORT": "0", "COLUMNS": "200", "NO_COLOR": "1"} | values


def pixyproxy(
    folder: Path, *arguments: str, stdin: str | bytes = b"", **values: str
) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end; what it says is text."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder,
        env=environment(folder, **values),
        input=stdin.encode() if isinstance(stdin, str) else stdin,
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


class Service:
    """The process; `url` is where it answers, `announced` its start block, `log` what it wrote to standard error."""

    def __init__(self, folder: Path, **values: str) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.values = values
        self.images_dir = folder / "images"
        self.url = ""
        self.announced = ""
        self._log_path = folder / "log"
        self._process: subprocess.Popen[str] | None = None
        self._listener: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.stop()
        elif self._process is not None:
            self.signal(signal.SIGKILL)
            self.wait()

    def start(self) -> None:
        """Start and wait until it answers."""
        with self._log_path.open("ab") as log:
            process = subprocess.Popen(
                [*COMMAND, "serve"],
                cwd=self.folder,
                env=environment(self.folder, **self.values),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self._process = process
        try:
            self.url = self._address(process)
            with self.client() as client:
                assert client.get("/healthz").status_code == 200
        except BaseException:
            self.signal(signal.SIGKILL)
            self.wait()
            raise

    def _address(self, process: "subprocess.Popen[str]") -> str:
        said: queue.Queue[str] = queue.Queue()
        assert process.stdout is not None
        stream = process.stdout

        def listen() -> None:
            with stream:
                for line in stream:
                    said.put(line)
            said.put("")

        self._listener = threading.Thread(target=listen, daemon=True)
        self._listener.start()
        self.announced = ""
        while line := said.get(timeout=PATIENCE_S):
            self.announced += line
            if found := re.match(r"  address +(\S+)", line):
                return found[1]
        raise AssertionError(f"exit status {process.wait(PATIENCE_S)} before it announced an address: {self.log}")

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def signal(self, number: int = signal.SIGTERM) -> None:
        """Send a signal and return at once."""
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self) -> int:
        """The exit status, once the process has ended."""
        assert self._process is not None
        process, self._process = self._process, None
        try:
            return process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            if self._listener is not None:
                self._listener.join(PATIENCE_S)

    def stop(self) -> None:
        """Ask it to end, and see that it does so in good order and has never come upon anything unexpected."""
        if self._process is not None:
            self.signal()
            assert self.wait() == 0, self.log
            assert "Traceback" not in self.log, self.log

    @property
    def log(self) -> str:
        return self._log_path.read_text(encoding="utf-8")

    def log_of(self, answer: httpx.Response, count: int = 2) -> list[str]:
        """The lines of one request, once there are that many: the last one comes after the answer has left."""
        deadline = Deadline(f"{count} lines were logged for {answer}")
        while True:
            lines = [line for line in self.log.splitlines() if f" {answer.headers['x-request-id']} " in line]
            if len(lines) >= count:
                return lines
            deadline.wait()

    def client(self, auth: tuple[str, str] | None = None) -> httpx.Client:
        """A client of the service; names and passwords go as UTF-8."""
        given = None if auth is None else httpx.BasicAuth(*(part.encode() for part in auth))
        # Nothing here is TLS, and reading the certificates of the system takes longer than most requests.
        return httpx.Client(base_url=self.url, auth=given, timeout=PATIENCE_S, trust_env=False, verify=False)

    def add_user(self, name: str, password: str, class_key: str | None = None) -> None:
        """Put somebody on the roster, as the command line does it."""

        async def add() -> None:
            async with opened(build_container(self.settings())) as container:
                await container.user_service().add(name, password, class_key)

        in_thread(add)

    def settings(self) -> Settings:
        """The settings of the process, for looking at its database from outside."""
        names = {str(field.validation_alias) for field in Settings.model_fields.values()}
        given = {name: value for name, value in environment(self.folder, **self.values).items() if name in names}
        return Settings(_env_file=None, **given)  # type: ignore[arg-type, call-arg]

    def files(self) -> list[Path]:
        """Every file below the folder of images."""
        return sorted(path for path in self.images_dir.rglob("*") if path.is_file())


class Deadline:
    """A loop's patience: `while not …: deadline.wait()` fails when it has waited far too long."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._end = time.monotonic() + PATIENCE_S

    def wait(self) -> None:
        assert time.monotonic() < self._end, f"waited in vain until {self._what}"
        time.sleep(0.02)


def lasting(detail: dict[str, Any]) -> dict[str, Any]:
    """The details of an image without the placeholder, which is made in the background at its own time."""
    return {name: value for name, value in detail.items() if name != "placeholder"}


def problem(answer: httpx.Response) -> dict[str, Any]:
    """The problem document of an answer, after a look at its form (RFC 9457)."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    body: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail", "instance", "code", "request_id"} <= set(body)
    assert set(body) <= {"type", "title", "status", "detail", "instance", "code", "request_id", "errors", "guid"}
    assert body["status"] == answer.status_code
    assert body["type"] == f"urn:pixyproxy:problem:{body['code']}"
    assert body["request_id"] == answer.headers["x-request-id"]
    if answer.status_code in {429, 503}:
        assert int(answer.headers["retry-after"]) >= 1
    return body
