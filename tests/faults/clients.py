"""A client that does all there is to do, again and again, and notes what it is told; it expects to be cut off."""

import asyncio
import hashlib
import random
from collections.abc import Awaitable, Callable

import httpx

from tests.faults.witness import Wish, Witness

USERS = ("alice", "bob")
PASSWORD = "secret"
PATIENCE_S = 20.0

FINAL = {
    (422, "prompt-rejected"),
    (502, "generator-answer"),
    (502, "generator-connection-lost"),
    (502, "generation-interrupted"),
}
"""Failures that a key keeps: the same answer is told again."""
PASSING = {
    (429, "generator-rate-limited"),
    (502, "generator-unavailable"),
    (409, "idempotency-key-taken"),
}
"""Failures before anything was paid, after which a repeat may fare better."""

Action = Callable[[httpx.AsyncClient], Awaitable[None]]


class Client:
    """One of several; with a name it logs in and deletes, without one it is anonymous."""

    def __init__(self, number: int, witness: Witness, chance: random.Random) -> None:
        self._number = number
        self._user = USERS[number // 2 % len(USERS)] if number % 2 == 0 else None
        self._witness = witness
        self._chance = chance
        self._wishes = 0
        self._in_doubt: list[Wish] = []
        """Asked for with a key, and not answered or answered with a passing failure."""
        self._answered: list[Wish] = []
        self._own: list[str] = []
        self._actions: dict[Action, int] = {
            self._wish: 30,
            self._wish_without_key: 8,
            self._wish_asynchronously: 12,
            self._wish_twice_at_once: 5,
            self._repeat_in_doubt: 15,
            self._repeat_answered: 6,
            self._look_again: 10,
        }
        if self._user is not None:
            self._actions |= {self._delete: 14, self._delete_at_once: 2, self._change_tags: 6}

    async def run(self, url: str, stop: asyncio.Event) -> None:
        """Act until told to stop; a service that dies meanwhile is no news."""
        auth = None if self._user is None else httpx.BasicAuth(self._user, PASSWORD)
        async with httpx.AsyncClient(
            base_url=url, auth=auth, timeout=PATIENCE_S, trust_env=False, verify=False
        ) as http:
            while not stop.is_set():
                (action,) = self._chance.choices(list(self._actions), list(self._actions.values()))
                try:
                    await action(http)
                except httpx.TimeoutException:
                    self._witness.blame(f"no answer within {PATIENCE_S:g} s")
                except httpx.TransportError:
                    self._witness.counts["broken connections"] += 1
                    await asyncio.sleep(0.01)

    # --- wishes ---------------------------------------------------------------------------------------------------

    def _new_wish(self, *, keyed: bool = True) -> Wish:
        self._wishes += 1
        name = f"client-{self._number}-wish-{self._wishes}"
        wish = Wish(f"a picture for {name}", name if keyed else None)
        if keyed:
            self._in_doubt.append(wish)
        return wish

    async def _wish(self, http: httpx.AsyncClient) -> None:
        await self._create(http, self._new_wish())

    async def _wish_without_key(self, http: httpx.AsyncClient) -> None:
        await self._create(http, self._new_wish(keyed=False))

    async def _wish_asynchronously(self, http: httpx.AsyncClient) -> None:
        wish = self._new_wish(keyed=self._chance.random() < 0.7)
        guid = await self._create(http, wish, respond_async=True)
        while guid is not None:
            await asyncio.sleep(0.03)
            answer = await http.get(f"/image/{guid}")
            if answer.status_code != 200:
                if guid not in self._witness.deleting:
                    self._witness.blame(f"accepted image {guid} answers {answer.status_code}")
                return
            if answer.json()["status"] == "ready":
                await self._accept(http, wish, answer.json())
            if answer.json()["status"] != "generating":
                return

    async def _wish_twice_at_once(self, http: httpx.AsyncClient) -> None:
        wish = self._new_wish()
        outcomes = await asyncio.gather(*(self._create(http, wish) for _ in range(2)), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def _repeat_in_doubt(self, http: httpx.AsyncClient) -> None:
        if self._in_doubt:
            self._witness.counts["repeats"] += 1
            await self._create(http, self._chance.choice(self._in_doubt), respond_async=self._chance.random() < 0.2)

    async def _repeat_answered(self, http: httpx.AsyncClient) -> None:
        if self._answered:
            wish = self._chance.choice(self._answered)
            if wish.guid not in self._witness.deleting:
                self._witness.counts["repeats"] += 1
                await self._create(http, wish)

    async def _create(self, http: httpx.AsyncClient, wish: Wish, *, respond_async: bool = False) -> str | None:
        """Ask for a picture; returns the GUID of one that is still being made."""
        headers = {} if wish.key is None else {"Idempotency-Key": wish.key}
        if respond_async:
            headers["Prefer"] = "respond-async"
        self._witness.asked.add(wish.prompt)
        answer = await http.post("/image", json=wish.body, headers=headers)
        body = answer.json()
        if answer.status_code == 202 and respond_async:
            self._witness.begun[body["guid"]] = wish.prompt
            if wish.guid is not None or wish.error is not None:
                self._witness.blame(f"{wish.prompt}: generating again after {wish.guid or wish.error}")
            if self._user is not None and wish.key is None:
                self._own.append(body["guid"])
            return str(body["guid"])
        if answer.status_code == 200:
            await self._accept(http, wish, body)
        else:
            self._refused(wish, answer.status_code, body)
        return None

    async def _accept(self, http: httpx.AsyncClient, wish: Wish, image: dict[str, object]) -> None:
        guid, sha256 = str(image["guid"]), str(image["sha256"])
        if image["status"] != "ready" or image["prompt"] != wish.prompt:
            self._witness.blame(f"{wish.prompt}: answered with {image}")
            return
        self._witness.saw_ready(wish, guid, sha256)
        self._settle(wish)
        if guid not in self._own:
            self._own.append(guid)
        await self._fetch(http, guid)

    def _refused(self, wish: Wish, status: int, problem: dict[str, object]) -> None:
        code = str(problem["code"])
        if isinstance(guid := problem.get("guid"), str):
            self._witness.begun[guid] = wish.prompt
        if (status, code) not in FINAL | PASSING:
            self._witness.blame(f"{wish.prompt}: answered {status} {problem}")
        elif wish.guid is not None:
            self._witness.blame(f"{wish.prompt}: answered {status} {code} after image {wish.guid}")
        elif wish.error not in (None, code):
            self._witness.blame(f"{wish.prompt}: answered {status} {code} after {wish.error}")
        elif (status, code) in FINAL:
            wish.error = code
            self._settle(wish)

    def _settle(self, wish: Wish) -> None:
        if wish in self._in_doubt:
            self._in_doubt.remove(wish)
            self._answered.append(wish)

    # --- images ---------------------------------------------------------------------------------------------------

    async def _look_again(self, http: httpx.AsyncClient) -> None:
        if self._own:
            await self._fetch(http, self._chance.choice(self._own))

    async def _fetch(self, http: httpx.AsyncClient, guid: str) -> None:
        answer = await http.get(f"/image/{guid}/content")
        known = self._witness.ready.get(guid)
        if guid in self._witness.deleting or known is None:
            return
        if answer.status_code != 200 or hashlib.sha256(answer.content).hexdigest() != known.sha256:
            self._witness.blame(
                f"image {guid} was acknowledged and now answers {answer.status_code}: {answer.text[:300]}"
            )
        self._witness.counts["bytes verified by clients"] += len(answer.content)

    async def _delete(self, http: httpx.AsyncClient) -> None:
        if self._own:
            await self._remove(http, self._chance.choice(self._own))

    async def _delete_at_once(self, http: httpx.AsyncClient) -> None:
        """Delete what is still being made."""
        guid = await self._create(http, self._new_wish(keyed=False), respond_async=True)
        if guid is not None:
            await self._remove(http, guid)

    async def _remove(self, http: httpx.AsyncClient, guid: str) -> None:
        before = guid in self._witness.deleting
        self._witness.deleting.add(guid)
        answer = await http.delete(f"/image/{guid}")
        if answer.status_code == 204 or (answer.status_code == 404 and before):
            self._witness.deleted.add(guid)
            self._own.remove(guid)
        else:
            self._witness.blame(f"deleting image {guid} answers {answer.status_code}")

    async def _change_tags(self, http: httpx.AsyncClient) -> None:
        if not self._own:
            return
        guid = self._chance.choice(self._own)
        tags = [f"tag-{self._chance.randrange(1000)}"]
        self._witness.tags.pop(guid, None)  # until it is answered, either is right
        answer = await http.patch(f"/image/{guid}", json={"tags": tags})
        still_generating = answer.status_code == 409 and guid not in self._witness.ready
        if answer.status_code == 200:
            self._witness.tags[guid] = tags
        elif guid not in self._witness.deleting and not still_generating:
            self._witness.blame(f"changing image {guid} answers {answer.status_code}")
