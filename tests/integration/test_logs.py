"""The log of a separate process: its lines on standard error, and their levels."""

import re
import subprocess
import sys

import pytest

from pixyproxy.entrypoints import logs

LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (?P<level>[A-Z]+) (?P<id>\S+) \[(?P<thread>\d+)\] "
                  r"\[(?P<where>[^\]]+:\d+)\] (?P<text>.*)")  # fmt: skip


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
