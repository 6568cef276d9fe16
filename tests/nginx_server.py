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


def adapted(port: int, service_port: int, images: Path, answers: Path) -> str:
    """The configuration with these places; fails if it names other lines to adapt than those."""
    cache = f"127.0.0.1:{free_port()}"
    places = {
        "server 127.0.0.1:8001": f"server 127.0.0.1:{service_port}",
        "server 127.0.0.1:8002": f"server {cache}",
        "server 127.0.0.1:8001 backup": f"server 127.0.0.1:{service_port} backup",
        "proxy_cache_path /run/pixyproxy-nginx": f"proxy_cache_path {answers}",
        "listen 80": f"listen 127.0.0.1:{port}",
        "server_name pictures.example.org": "server_name _",
        "alias /var/lib/pixyproxy/images/": f"alias {images}/",
        "listen 127.0.0.1:8002": f"listen {cache}",
    }
    seen = []

    def replace(line: re.Match[str]) -> str:
        seen.append(line[2])
        return f"{line[1]}{places[line[2]]}{line[3]};\n"

    line = r"^( *)(\w+ [^ ;\n]+(?: backup)?)([^;\n]*);  # adapt.*\n"
    text = re.sub(line, replace, CONFIGURATION.read_text(), flags=re.MULTILINE)
    assert seen == list(places), seen
    return text


class Nginx:
    """Runs until the end of its `with`; `url` is where it answers, `more` goes into the server that clients see."""

    def __init__(self, service_url: str, images: Path, more: str = "") -> None:
        path = binary()
        assert path is not None
        self._binary = path
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._folder = Path(tempfile.mkdtemp(prefix="pixyproxy-nginx-"))
        self.answers = self._folder / "answers"
        configuration = adapted(port, httpx.URL(service_url).port or 80, images, self.answers)
        self.configuration = re.sub(r"^    server_name _;\n", rf"\g<0>{more}\n", configuration, flags=re.MULTILINE)
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
