"""LiteLLM's proxy, set up for production as its documentation says, with one worker and no database.

https://docs.litellm.ai/docs/proxy/prod
"""

import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.load import LoadError
from benchmarks.services import Running, environment, process

PROGRAM = Path(__file__).parent / ".litellm" / "bin" / "litellm"
MASTER_KEY = "sk-benchmark"
_START_S = 120


@contextmanager
def litellm_proxy(home: Path, model: str, upstream_url: str) -> Iterator[Running]:
    """Run a proxy for one model of the upstream. Raises LoadError if it is not installed or does not start."""
    if not PROGRAM.exists():
        raise LoadError("LiteLLM is not installed: `make bench-gateway` installs it in benchmarks/.litellm")
    config = home / "config.yaml"
    config.write_text(json.dumps(_configuration(model, upstream_url)))  # JSON is YAML
    port = _free_port()
    arguments = [str(PROGRAM), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    env = environment(
        LITELLM_MODE="PRODUCTION",  # no `.env` file
        LITELLM_LOG="ERROR",
        LITELLM_LOCAL_MODEL_COST_MAP="True",  # its own prices, without a download at the start
        HOME=str(home),
    )
    with process([*arguments, "--num_workers", "1", "--telemetry", "False"], home, env) as started:
        url = f"http://127.0.0.1:{port}"
        give_up = time.monotonic() + _START_S
        while not _is_alive(url):
            if started.poll() is not None or time.monotonic() > give_up:
                raise LoadError(f"LiteLLM did not start: {(home / 'log').read_text().strip()[-2000:]}")
            time.sleep(0.2)
        yield Running(url, started.pid)


def _configuration(model: str, upstream_url: str) -> dict[str, object]:
    parameters = {"model": f"openai/{model}", "api_base": upstream_url, "api_key": "none"}
    return {
        "model_list": [
            {"model_name": model, "litellm_params": parameters, "model_info": {"mode": "image_generation"}},
        ],
        "general_settings": {"master_key": MASTER_KEY},
        "litellm_settings": {"request_timeout": 600, "set_verbose": False, "json_logs": True},
    }


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _is_alive(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health/liveliness", timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False
