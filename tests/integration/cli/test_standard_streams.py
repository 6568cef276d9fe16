"""Streams that a parent has closed, or that take nothing: the service runs all the same."""

import os
import signal
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.fixtures.service import COMMAND, PATIENCE_S, Deadline, environment
from tests.fixtures.sql.mysql_servers import free_port


@pytest.mark.parametrize(
    "redirections", ["<&- >&- 2>&-", ">/dev/full", pytest.param("> >(exit 0)", marks=pytest.mark.slow)]
)
def test_a_service_whose_streams_take_nothing_makes_pictures(tmp_path: Path, redirections: str) -> None:
    port = str(free_port())
    process = subprocess.Popen(
        ["bash", "-c", f'exec "$@" {redirections}', "bash", *COMMAND, "serve"],
        cwd=tmp_path,
        env=environment(tmp_path, PIXYPROXY_PORT=port),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = Deadline("the service responded")
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S, trust_env=False) as client:
            while True:
                assert process.poll() is None
                try:
                    client.get("/healthz")
                    break
                except httpx.ConnectError:
                    deadline.wait()
            assert client.post("/image", json={"prompt": "a duck"}).status_code == 200
        # Connections that had got the numbers of closed streams are closed by now, and those of the end follow.
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.wait()
