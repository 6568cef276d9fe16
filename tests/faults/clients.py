"""Clients that use every route at random and record the responses; they expect that connections break."""

import asyncio
import hashlib
import random
from collections.abc import Awaitable, Callable

import httpx

from tests.faults.history import History, PictureRequest

USERS = ("alice", "bob")
PASSWORD = "secret of many"
PATIENCE_S = 20.0

FINAL = {
    (422, "prompt-rejected"),
    (502, "generator-answer"),
    (502, "generator-connection-lost"),
    (502, "generation-interrupted"),
}
"""Failures that an idempotency key keeps: a repeat gets the same response."""
PASSING = {
    (429, "generator-rate-limited"),
    (502, "generator-unavailable"),
    (409, "idempotency-key-taken"),
}
"""Failures before anything was paid, after which a repeat may succeed."""

Action = Callable[[httpx.AsyncClient], Awaitable[None]]


class Client:
    """One of several clients; with a user it logs in and may delete, without one it is anonymous."""

    def __init__(self, number: int, history: History, chance: random.Random) -> None:
        self._number = number
        self._user = USERS[number // 2 % len(USERS)] if number % 2 == 0 else None
        self._history = history
        self._chance = chance
        self._requests = 0
        self._in_doubt: list[PictureRequest] = []
        """Requests with a key that have no final response yet."""
        self._answered: list[PictureRequest] = []
        self._own: list[str] = []
        self._actions: dict[Action, int] = {
            self._request: 30,
            self._request_without_key: 8,
            self._request_asynchronously: 12,
            self._request_twice_at_once: 5,
            self._repeat_in_doubt: 15,
            self._repeat_answered: 6,
            self._look_again: 10,
        }
        if self._user is not None:
            self._actions |= {self._delete: 14, self._delete_at_once: 2, self._change_tags: 6}

    async def run(self, url: str, stop: asyncio.Event) -> None:
        """Act until `stop` is set; a service that dies meanwhile is expected."""
        auth = None if self._user is None else httpx.BasicAuth(self._user, PASSWORD)
        async with httpx.AsyncClient(
            base_url=url, auth=auth, timeout=PATIENCE_S, trust_env=False, verify=False
        ) as http:
            while not stop.is_set():
                (action,) = self._chance.choices(list(self._actions), list(self._actions.values()))
                try:
                    await action(http)
                except httpx.TimeoutException:
                    self._history.report(f"no answer within {PATIENCE_S:g} s")
                except httpx.TransportError:
                    self._history.counts["broken connections"] += 1
                    await asyncio.sleep(0.01)

    # --- requests -------------------------------------------------------------------------------------------------

    def _new_request(self, *, keyed: bool = True) -> PictureRequest:
        self._requests += 1
        name = f"client-{self._number}-request-{self._requests}"
        request = PictureRequest(f"a picture for {name}", name if keyed else None)
        if keyed:
            self._in_doubt.append(request)
        return request

    async def _request(self, http: httpx.AsyncClient) -> None:
        await self._create(http, self._new_request())

    async def _request_without_key(self, http: httpx.AsyncClient) -> None:
        await self._create(http, self._new_request(keyed=False))

    async def _request_asynchronously(self, http: httpx.AsyncClient) -> None:
        request = self._new_request(keyed=self._chance.random() < 0.7)
        guid = await self._create(http, request, respond_async=True)
        while guid is not None:
            await asyncio.sleep(0.03)
            answer = await http.get(f"/image/{guid}")
            if answer.status_code != 200:
                if guid not in self._history.deleting:
                    self._history.report(f"accepted image {guid} answers {answer.status_code}")
                return
            if answer.json()["status"] == "ready":
                await self._accept(http, request, answer.json())
            if answer.json()["status"] not in {"queued", "generating"}:
                return

    async def _request_twice_at_once(self, http: httpx.AsyncClient) -> None:
        request = self._new_request()
        outcomes = await asyncio.gather(*(self._create(http, request) for _ in range(2)), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def _repeat_in_doubt(self, http: httpx.AsyncClient) -> None:
        if self._in_doubt:
            self._history.counts["repeats"] += 1
            await self._create(http, self._chance.choice(self._in_doubt), respond_async=self._chance.random() < 0.2)

    async def _repeat_answered(self, http: httpx.AsyncClient) -> None:
        if self._answered:
            request = self._chance.choice(self._answered)
            if request.guid not in self._history.deleting:
                self._history.counts["repeats"] += 1
                await self._create(http, request)

    async def _create(
        self, http: httpx.AsyncClient, request: PictureRequest, *, respond_async: bool = False
    ) -> str | None:
        """Request a picture, and return the GUID of one that is still generating."""
        headers = {} if request.key is None else {"Idempotency-Key": request.key}
        if respond_async:
            headers["Prefer"] = "respond-async"
        self._history.requested.add(request.prompt)
        answer = await http.post("/image", json=request.body, headers=headers)
        body = answer.json()
        if answer.status_code == 202 and respond_async:
            self._history.begun[body["guid"]] = request.prompt
            if request.guid is not None or request.error is not None:
                self._history.report(f"{request.prompt}: generating again after {request.guid or request.error}")
            if self._user is not None and request.key is None:
                self._own.append(body["guid"])
            return str(body["guid"])
        if answer.status_code == 200:
            await self._accept(http, request, body)
        else:
            self._refused(request, answer.status_code, body)
        return None

    async def _accept(self, http: httpx.AsyncClient, request: PictureRequest, image: dict[str, object]) -> None:
        guid, sha256 = str(image["guid"]), str(image["sha256"])
        if image["status"] != "ready" or image["prompt"] != request.prompt:
            self._history.report(f"{request.prompt}: answered with {image}")
            return
        self._history.record_ready(request, guid, sha256)
        self._settle(request)
        if guid not in self._own:
            self._own.append(guid)
        await self._fetch(http, guid)

    def _refused(self, request: PictureRequest, status: int, problem: dict[str, object]) -> None:
        code = str(problem["code"])
        if isinstance(guid := problem.get("guid"), str):
            self._history.begun[guid] = request.prompt
        if (status, code) not in FINAL | PASSING:
            self._history.report(f"{request.prompt}: answered {status} {problem}")
        elif request.guid is not None:
            self._history.report(f"{request.prompt}: answered {status} {code} after image {request.guid}")
        elif request.error not in (None, code):
            self._history.report(f"{request.prompt}: answered {status} {code} after {request.error}")
        elif (status, code) in FINAL:
            request.error = code
            self._settle(request)

    def _settle(self, request: PictureRequest) -> None:
        if request in self._in_doubt:
            self._in_doubt.remove(request)
            self._answered.append(request)

    # --- images ---------------------------------------------------------------------------------------------------

    async def _look_again(self, http: httpx.AsyncClient) -> None:
        if self._own:
            await self._fetch(http, self._chance.choice(self._own))

    async def _fetch(self, http: httpx.AsyncClient, guid: str) -> None:
        answer = await http.get(f"/image/{guid}/content")
        known = self._history.ready.get(guid)
        if guid in self._history.deleting or known is None:
            return
        if answer.status_code != 200 or hashlib.sha256(answer.content).hexdigest() != known.sha256:
            self._history.report(
                f"image {guid} was acknowledged and now answers {answer.status_code}: {answer.text[:300]}"
            )
        self._history.counts["bytes verified by clients"] += len(answer.content)

    async def _delete(self, http: httpx.AsyncClient) -> None:
        if self._own:
            await self._remove(http, self._chance.choice(self._own))

    async def _delete_at_once(self, http: httpx.AsyncClient) -> None:
        """Delete an image that is still generating."""
        guid = await self._create(http, self._new_request(keyed=False), respond_async=True)
        if guid is not None:
            await self._remove(http, guid)

    async def _remove(self, http: httpx.AsyncClient, guid: str) -> None:
        before = guid in self._history.deleting
        self._history.deleting.add(guid)
        answer = await http.delete(f"/image/{guid}")
        if answer.status_code == 204 or (answer.status_code == 404 and before):
            self._history.deleted.add(guid)
            self._own.remove(guid)
        else:
            self._history.report(f"deleting image {guid} answers {answer.status_code}")

    async def _change_tags(self, http: httpx.AsyncClient) -> None:
        if not self._own:
            return
        guid = self._chance.choice(self._own)
        tags = [f"tag-{self._chance.randrange(1000)}"]
        self._history.tags.pop(guid, None)  # until the response, old and new tags are both right
        answer = await http.patch(f"/image/{guid}", json={"tags": tags})
        still_generating = answer.status_code == 409 and guid not in self._history.ready
        if answer.status_code == 200:
            self._history.tags[guid] = tags
        elif guid not in self._history.deleting and not still_generating:
            self._history.report(f"changing image {guid} answers {answer.status_code}")
