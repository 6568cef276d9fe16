"""A service in front of the fake upstream, with a key made for alice, for the tests that run real clients of `/v1`."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.openai_behaviours import BEHAVIOURS, behaviour
from tests.fakes.openai_exchange import Exchange, error_document
from tests.fakes.openai_refusals import REFUSALS
from tests.fakes.openai_upstream import EDITS, GENERATIONS, FakeUpstream
from tests.integration.conftest import ALICE
from tests.mysql_servers import MySQLSettings, fresh_database, shared_server
from tests.service import Deadline, Service, pixyproxy

UPSTREAM_KEY = "sk-test-0123456789abcdef"

_let_go: dict[str, Callable[[], bool]] = {}
"""By the address of an upstream: when what is held there goes on."""


@behaviour("held")
async def held(exchange: Exchange, *, then: str = "ok", after: int = 0, **params: Any) -> None:
    """Nothing until the test lets go, and then as `then`; with `after`, so many events of its stream come before."""
    left = after

    async def wait(_: float) -> None:
        nonlocal left
        while left == 0 and not _let_go[exchange.base_url]():
            await Exchange.pass_time(exchange, 0.02)
        left -= 1

    if after:
        # It passes time before each event.
        exchange.pass_time = wait  # type: ignore[method-assign, assignment]
        params["delay"] = 1
    else:
        await wait(0)
    await BEHAVIOURS[then][0](exchange, **params)


@dataclass
class Gateway:
    """The service, what is behind it, and the key with which a client calls it."""

    service: Service
    upstream: FakeUpstream
    key: str
    _paid: int = field(default=0)
    _asked: int = field(default=0)

    @property
    def base_url(self) -> str:
        """What a client is pointed at."""
        return f"{self.service.url}/v1"

    def begin(self) -> None:
        """Count charges and requests from here on."""
        self._paid, self._asked = len(self.upstream.charges), len(self.upstream.requests)

    @property
    def charges(self) -> int:
        """How many pictures or batches of them were paid for since the test began."""
        return len(self.upstream.charges) - self._paid

    @property
    def calls(self) -> int:
        """How often the upstream was called since the test began, to make something or to list models."""
        return len(self.upstream.requests) - self._asked

    def hold(self, let_go: Callable[[], bool], *specs: str, path: str = GENERATIONS) -> None:
        """Have the next requests held by the upstream until this is true."""
        _let_go[self.upstream.base_url] = let_go
        self.upstream.script(*specs, path=path)

    def hold_until_retried(self, *specs: str, path: str = GENERATIONS) -> None:
        """Hold what comes next until a client has lost patience and has come again."""
        seen = self.tries(path)
        self.hold(lambda: self.tries(path) >= seen + 2, *specs, path=path)

    def tries(self, path: str = GENERATIONS) -> int:
        """How often the service was asked for this path."""
        return self.service.log.count(f"REQUEST START POST {path}\n")

    def get(self, path: str, **params: str) -> httpx.Response:
        """What alice gets there."""
        with self.service.client(ALICE) as client:
            answer = client.get(path, params=params or None)
        assert answer.status_code == 200, answer.text
        return answer

    def detail(self, guid: str) -> dict[str, Any]:
        """The image, as the native API shows it."""
        detail: dict[str, Any] = self.get(f"/image/{guid}").json()
        return detail

    def content(self, guid: str) -> bytes:
        """The bytes of the image, as they are delivered."""
        return self.get(f"/image/{guid}/content").content

    def made_for(self, prompt: str) -> list[dict[str, Any]]:
        """The images that were made for this prompt, once there is one: its client may have left."""
        deadline = Deadline(f"there was an image of {prompt!r}")
        while not (found := self.get("/image", prompt=prompt).json()):
            deadline.wait()
        return [detail for detail in found if detail["prompt"] == prompt]

    @contextmanager
    def writes_held(self) -> Iterator[None]:
        """The database answers what is asked, and lets whoever writes wait."""
        values = self.service.values
        if values.get("PIXYPROXY_REPOSITORY") == "mysql":
            server = values["DB_HOST"], int(values["DB_PORT"]), values["DB_USER"], values["DB_PASSWORD"]
            with closing(MySQLSettings(*server, values["DB_NAME"]).connect()) as connection:
                connection.cursor().execute("LOCK TABLES images READ")
                yield
        else:
            with closing(sqlite3.connect(self.service.folder / "data" / "pixyproxy.sqlite3")) as connection:
                connection.execute("BEGIN IMMEDIATE")
                yield

    def store(self, prompt: str, **fields: str) -> str:
        """Have a picture made, and return its GUID."""
        with self.service.client(ALICE) as client:
            answer = client.post("/image", json={"prompt": prompt, **fields})
        assert answer.status_code == 200, answer.text
        self.begin()
        return str(answer.json()["guid"])


def refusal(name: str) -> Any:
    """The body with which the upstream refuses, without its envelope."""
    _, message, kind, code = REFUSALS[name]
    return error_document(message, kind, code)["error"]


@contextmanager
def running_gateway(folder: Path, **values: str) -> Iterator[Gateway]:
    """A gateway that pays; nothing secret is in its log at the end."""
    with FakeUpstream() as upstream:
        settings = {"PIXYPROXY_GENERATOR": "openai", "OPENAI_API_KEY": UPSTREAM_KEY, **values}
        with Service(folder, **settings, OPENAI_BASE_URL=upstream.base_url) as service:
            service.add_user(*ALICE)
            made = pixyproxy(folder, "key", "add", ALICE[0], **service.values)
            assert made.returncode == 0, made.stderr
            gateway = Gateway(service, upstream, made.stdout.strip())
            yield gateway
            # What a failed test left behind would be waited for when the service stops.
            _let_go[upstream.base_url] = lambda: True
            assert UPSTREAM_KEY not in service.log
            assert gateway.key not in service.log
        _let_go.pop(upstream.base_url, None)


@contextmanager
def gateways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Gateway]]:
    """The gateway on a database, `sqlite` or `mysql`, begun when it is first asked for."""
    with ExitStack() as stack:

        @cache
        def on(database: str) -> Gateway:
            values = {}
            if database == "mysql":
                settings = stack.enter_context(fresh_database(shared_server()))
                values = {"PIXYPROXY_REPOSITORY": "mysql", **settings.environment()}
            return stack.enter_context(running_gateway(tmp_path_factory.mktemp(database), **values))

        yield on


__all__ = ["EDITS", "Gateway", "gateways", "refusal", "running_gateway"]
