"""Clients that retry by themselves, whatever the service says, pay once: one charge for each prompt."""

import json
import os
import shutil
import signal
import subprocess
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import openai
import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from tests.fixtures.openai.gateway import Gateway, running_gateway
from tests.fixtures.requirements import missing
from tests.fixtures.service import PATIENCE_S, Deadline
from tests.fixtures.sql.mysql_servers import fresh_database, shared_server

FOLDER = Path(__file__).parent
IMPATIENCE_S = 1.0
"""Time-out of the clients, where the upstream takes longer."""
FEW, MANY = 2, 10
"""Retries that are all used up, and enough of them for a picture or a restart to come first."""
MODEL = "gpt-image-2"

Client = Callable[[Gateway, str, float, int], bool]
"""Asks for a prompt's picture with a time-out in seconds and some retries, and returns whether it got one."""


@pytest.fixture(scope="module")
def on_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Gateway]]:
    with ExitStack() as stack:
        running: dict[str, Gateway] = {}

        def on(database: str) -> Gateway:
            if database not in running:
                values = {"PIXYPROXY_WORKERS": "2", "PIXYPROXY_LEASE_S": "2"}
                if database == "mysql":
                    settings = stack.enter_context(fresh_database(shared_server()))
                    values |= {"PIXYPROXY_REPOSITORY": "mysql", **settings.environment()}
                folder = tmp_path_factory.mktemp(database)
                running[database] = stack.enter_context(running_gateway(folder, **values))
            return running[database]

        yield on


def with_requests(path: str) -> Client:
    def create(gateway: Gateway, prompt: str, timeout_s: float, retries: int) -> bool:
        again = Retry(
            retries, backoff_factor=0.2, backoff_max=1, allowed_methods=None, status_forcelist=[500, 502, 503, 504]
        )
        with requests.Session() as session:
            session.mount("http://", HTTPAdapter(max_retries=again))
            try:
                answer = session.post(
                    gateway.service.url + path,
                    json={"prompt": prompt},
                    headers={"Authorization": f"Bearer {gateway.key}"},
                    timeout=timeout_s,
                )
            except requests.RequestException:
                return False
            return answer.status_code == 200

    return create


def with_openai(*, stream: bool = False) -> Client:
    def create(gateway: Gateway, prompt: str, timeout_s: float, retries: int) -> bool:
        options: dict[str, Any] = {"timeout": timeout_s, "max_retries": retries}
        with openai.OpenAI(base_url=gateway.base_url, api_key=gateway.key, **options) as client:
            try:
                answer = client.images.generate(prompt=prompt, model=MODEL, stream=stream)
                return bool(list(answer)[-1].type.endswith("completed") if stream else answer.data)
            except openai.APIError:
                return False

    return create


def with_openai_for_node(gateway: Gateway, prompt: str, timeout_s: float, retries: int) -> bool:
    options = {"timeout": timeout_s * 1000, "maxRetries": retries}
    client = {"baseURL": gateway.base_url, "apiKey": gateway.key, **options}
    return "answer" in run_node("client.mjs", client=client, call="generate", params={"prompt": prompt, "model": MODEL})


def with_ai_sdk(gateway: Gateway, prompt: str, timeout_s: float, retries: int) -> bool:
    options = {"maxRetries": min(retries, 3), "timeoutMs": timeout_s * 1000}
    return "picture" in run_node("ai.mjs", baseURL=gateway.base_url, apiKey=gateway.key, prompt=prompt, **options)


def run_node(script: str, **values: Any) -> dict[str, Any]:
    return run(["node", script], FOLDER / "node", **{"options": {}, **values})


def with_litellm(python: str) -> Client:
    def ask(gateway: Gateway, prompt: str, timeout_s: float, retries: int) -> bool:
        params = {"api_base": gateway.base_url, "api_key": gateway.key, "prompt": prompt, "timeout": timeout_s}
        router = {"num_retries": min(retries, 4), "disable_cooldowns": True}
        report = run([python, "litellm_client.py"], FOLDER, call="aimage_generation", params=params, router=router)
        return "answer" in report

    return ask


def run(command: list[str], folder: Path, /, **values: Any) -> dict[str, Any]:
    done = subprocess.run(
        command,
        cwd=folder,
        input=json.dumps(values) + "\n",
        capture_output=True,
        text=True,
        timeout=3 * PATIENCE_S,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        | {"LITELLM_LOCAL_MODEL_COST_MAP": "True"},  # else it is fetched
        check=True,
    )
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


@pytest.fixture(
    params=["python", "python on mysql", "node", pytest.param("litellm", marks=[pytest.mark.slow, pytest.mark.litellm])]
)
def clients(request: pytest.FixtureRequest) -> dict[str, Client]:
    """Return clients by name, which are all tried at once."""
    family = request.param.split()[0]
    if family == "node":
        if shutil.which("node") is None or not (FOLDER / "node" / "node_modules" / "ai").is_dir():
            missing("NODE", f"the clients for Node are not installed (npm ci in {FOLDER / 'node'}; make test does it)")
        return {"openai": with_openai_for_node, "ai": with_ai_sdk}
    if family == "litellm":
        return {"router": with_litellm(request.getfixturevalue("litellm_python"))}
    return {
        "requests": with_requests("/image"),
        "requests below v1": with_requests("/v1/images/generations"),
        "openai": with_openai(),
        "openai with a stream": with_openai(stream=True),
    }


@pytest.fixture
def gateway(request: pytest.FixtureRequest, on_database: Callable[[str], Gateway]) -> Gateway:
    gateway = on_database("mysql" if "mysql" in request.node.callspec.id else "sqlite")
    gateway.begin()
    return gateway


class Attempts:
    """Clients that ask for a picture each at the same time."""

    def __init__(
        self,
        gateway: Gateway,
        clients: dict[str, Client],
        behaviour: str,
        *,
        timeout_s: float = PATIENCE_S,
        retries: int = MANY,
    ) -> None:
        self._gateway = gateway
        self._prompts = {f"{uuid.uuid4()} [[{behaviour}]]": name for name in clients}
        self._pool = ThreadPoolExecutor(len(clients))
        self._results = {
            name: self._pool.submit(clients[name], gateway, prompt, timeout_s, retries)
            for prompt, name in self._prompts.items()
        }

    def charges(self) -> dict[str, int]:
        """Return how often each client was charged."""
        prompts = Counter(str(record.json["prompt"]) for record in self._gateway.upstream.charges)
        return {name: prompts[prompt] for prompt, name in self._prompts.items()}

    def wait_until_charged(self) -> None:
        deadline = Deadline("every request reached the upstream")
        while not all(self.charges().values()):
            deadline.wait()

    def pictures(self) -> dict[str, bool]:
        """Return who got a picture in the end."""
        results = {name: result.result() for name, result in self._results.items()}
        self._pool.shutdown()
        return results


def every(clients: dict[str, Client], value: Any) -> dict[str, Any]:
    return dict.fromkeys(clients, value)


def test_an_upstream_that_charges_and_breaks_off_is_paid_once(gateway: Gateway, clients: dict[str, Client]) -> None:
    attempts = Attempts(gateway, clients, "reset-before-headers", retries=FEW)
    assert attempts.pictures() == every(clients, False)
    assert attempts.charges() == every(clients, 1)


def test_clients_with_less_patience_than_the_upstream_takes_pay_once(
    gateway: Gateway, clients: dict[str, Client]
) -> None:
    attempts = Attempts(gateway, clients, f"ok delay={2.5 * IMPATIENCE_S}", timeout_s=IMPATIENCE_S)
    assert attempts.pictures() == every(clients, True)
    assert attempts.charges() == every(clients, 1)


def test_a_service_that_is_killed_in_flight_pays_once(gateway: Gateway, clients: dict[str, Client]) -> None:
    service = gateway.service
    attempts = Attempts(gateway, clients, f"ok delay={PATIENCE_S}")
    attempts.wait_until_charged()
    service.values["PIXYPROXY_PORT"] = service.url.rpartition(":")[2]
    service.signal_group(signal.SIGKILL)
    service.wait()
    service.start()
    assert attempts.pictures() == every(clients, False)
    assert attempts.charges() == every(clients, 1)
