"""The log of a separate process: its lines on standard error, and their levels."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pixyproxy.entrypoints import logs
from tests.fixtures.service import Service

LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (?P<level>[A-Z]+) (?P<id>\S+) \[(?P<thread>\d+)\] "
                  r"\[(?P<where>[^\]]+:\d+)\] (?P<text>.*)")  # fmt: skip

REQUIRED = {"time", "level", "request_id", "thread", "where", "message"}


def test_everything_goes_to_standard_error_and_libraries_stay_at_warning() -> None:
    program = """if True:
        import logging
        from pixyproxy.entrypoints import logs
        logging.getLogger("openai").addHandler(logging.NullHandler())
        logs.configure("DEBUG")
        logs.configure("DEBUG")
        logging.getLogger("any").debug("seen \\ud800")
        for name in ("openai", "httpx2", "httpcore2", "PIL", "asyncio"):
            logging.getLogger(name).info("unseen")
            logging.getLogger(name + ".child").info("unseen")
            logging.getLogger(name).warning("seen")
        """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 6
    assert all(LINE.fullmatch(line) and "unseen" not in line for line in lines)
    assert r"seen \ud800" in lines[0]


def test_a_higher_level_applies_to_libraries_too(monkeypatch: pytest.MonkeyPatch) -> None:
    program = """if True:
        import logging
        from pixyproxy.entrypoints import logs
        logs.configure("ERROR")
        logging.getLogger("openai").warning("unseen")
        logging.getLogger("openai").error("seen")
        """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert len(done.stderr.splitlines()) == 1
    assert logs.request_id.get() == "-"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_service_logs_json(tmp_path: Path, workers: str) -> None:
    settings = {"PIXYPROXY_LOG_FORMAT": "json", "PIXYPROXY_LOG_CALLERS": "1", "PIXYPROXY_WORKERS": workers}
    with Service(tmp_path, **settings) as service, service.client() as client:
        id_ = client.get("/image?prompt=%0Aforged").headers["x-request-id"]
    entries = [json.loads(line) for line in service.log.splitlines() if line.startswith("{")]
    assert all(REQUIRED <= entry.keys() <= REQUIRED | {"exception"} for entry in entries)
    own = [entry for entry in entries if entry["request_id"] == id_]
    assert [entry["message"].split(" 200 ")[0] for entry in own] == [
        "REQUEST START GET /image",
        "REQUEST END GET /image",
    ]
    assert own[-1]["message"].endswith("ms user=- from=127.0.0.1")
    assert own[0]["where"].startswith("list_images:")
    assert not [line for line in service.log.splitlines() if LINE.fullmatch(line)]
