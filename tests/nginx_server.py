"""A private nginx on the configuration in `deploy/nginx`, of which only what it says to adapt is adapted."""

import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

import httpx

from tests.mysql_servers import free_port

CONFIGURATION = Path(__file__).parents[1] / "deploy" / "nginx" / "pixyproxy.conf"
PREFIX = "/_images"
"""What PIXYPROXY_ACCEL_PREFIX has to be."""
PATIENCE_S = 30


def binary() -> str | None:
    """Where nginx is, if it is anywhere."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def adapted(port: int, service_port: int, images: Path) -> str:
    """The configuration with these places; fails if it does not name exactly four to adapt."""
    values = {
        "server": f"127.0.0.1:{service_port}",
        "listen": f"127.0.0.1:{port}",
        "server_name": "_",
        "alias": f"{images}/",
    }
    seen = []

    def replace(line: re.Match[str]) -> str:
        seen.append(line[2])
        return f"{line[1]}{line[2]} {values[line[2]]};\n"

    text = re.sub(r"^( *)(\w+) [^;\n]+;  # adapt.*\n", replace, CONFIGURATION.read_text(), flags=re.MULTILINE)
    assert sorted(seen) == sorted(values), seen
    return text


class Nginx:
    """Runs until the end of its `with`; `url` is where it answers, `more` goes into its server block too."""

    def __init__(self, service_url: str, images: Path, more: str = "") -> None:
        path = binary()
        assert path is not None
        self._binary = path
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        configuration = adapted(port, httpx.URL(service_url).port or 80, images)
        head, brace, tail = configuration.rpartition("}")
        self.configuration = head + more + brace + tail
        self._folder = Path(tempfile.mkdtemp(prefix="pixyproxy-nginx-"))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        folder = self._folder
        # As root the workers would be somebody who may not look into the folders of a test.
        user = "user root;" if folder.owner() == "root" else ""
        temporary = "".join(
            f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (folder / "pixyproxy.conf").write_text(self.configuration)
        (folder / "nginx.conf").write_text(
            f"{user}\ndaemon off;\nworker_processes 1;\npid {folder}/pid;\nerror_log {folder}/error.log;\n"
            f"events {{ worker_connections 512; }}\n"
            f"http {{\naccess_log off;\n{temporary}include {folder}/pixyproxy.conf;\n}}\n"
        )
        command = [self._binary, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _wait(self) -> None:
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                httpx.get(f"{self.url}/healthz", timeout=PATIENCE_S, trust_env=False)
            except httpx.TransportError:
                assert self._process is not None
                if self._process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError((self._folder / "error.log").read_text()[-2000:]) from None
                time.sleep(0.05)
            else:
                return

    def __exit__(self, *_: object) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.wait(PATIENCE_S)
        shutil.rmtree(self._folder, ignore_errors=True)
