"""Thumbnails of a running service: made once for concurrent requests, kept, and deleted with their image."""

import asyncio
import io
from typing import Any

import httpx
from PIL import Image

from tests.fixtures.service import PATIENCE_S, Deadline, Service
from tests.fixtures.services import ALICE


def create(client: httpx.Client, **fields: Any) -> dict[str, Any]:
    response = client.post("/image", json={"prompt": "a duck", "size": "1024x768"} | fields)
    assert response.status_code == 200, response.text
    detail: dict[str, Any] = response.json()
    return detail


def derived(service: Service, guid: str) -> list[str]:
    return [file.name for file in service.files() if "derived" in file.parts and guid in file.name]


async def get_concurrently(url: str, count: int) -> list[httpx.Response]:
    limits = httpx.Limits(max_connections=count)
    async with httpx.AsyncClient(timeout=PATIENCE_S, limits=limits, trust_env=False, verify=False) as client:
        return await asyncio.gather(*(client.get(url) for _ in range(count)))


def test_a_hundred_concurrent_requests_decode_the_picture_once(service: Service) -> None:
    with service.client() as client:
        detail = create(client)
        responses = asyncio.run(get_concurrently(f"{service.url}{detail['thumbnail_url']}?size=512", 100))
        assert {response.status_code for response in responses} == {200}
        assert len({response.content for response in responses}) == 1
        found = Image.open(io.BytesIO(responses[0].content))
        assert (found.format, found.size) == ("WEBP", (512, 384))
        for response in responses:
            service.log_of(response)
        made = [line for line in service.log.splitlines() if "made thumbnail" in line and detail["guid"] in line]
        assert len(made) == 1
        [name] = derived(service, detail["guid"])
        assert name.endswith("-512.webp")
        etag = responses[0].headers["etag"]
        again = client.get(f"{detail['thumbnail_url']}/?size=512", headers={"If-None-Match": etag})
        assert (again.status_code, again.headers["etag"], again.content) == (304, etag, b"")
        head = client.head(f"{detail['thumbnail_url']}?size=512")
        assert (head.status_code, head.content) == (200, b"")
        assert int(head.headers["content-length"]) == len(responses[0].content)


def test_thumbnails_are_deleted_with_their_image(service: Service) -> None:
    with service.client(ALICE) as client:
        detail = create(client)
        for size, accept in ((128, "*/*"), (256, "image/jpeg")):
            response = client.get(detail["thumbnail_url"], params={"size": size}, headers={"Accept": accept})
            assert response.status_code == 200
        assert len(derived(service, detail["guid"])) == 2
        assert client.delete(f"/image/{detail['guid']}").status_code == 204
        assert derived(service, detail["guid"]) == []
        assert client.get(detail["thumbnail_url"]).status_code == 404


def test_the_placeholder_is_made_in_the_background(service: Service) -> None:
    with service.client() as client:
        detail = create(client)
        deadline = Deadline("the image had a placeholder")
        while (found := client.get(f"/image/{detail['guid']}").json())["placeholder"] is None:
            deadline.wait()
        assert found["placeholder"].startswith("data:image/webp;base64,")
        assert len(found["placeholder"]) < 500
        assert found == detail | {"placeholder": found["placeholder"]}
        assert derived(service, detail["guid"]) == []
