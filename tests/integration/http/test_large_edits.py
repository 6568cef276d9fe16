"""Edits of pictures that are too large for memory: they pass through files, which are closed at the end."""

import base64

from pixyproxy.domain.generation import EditSource, GeneratedImage
from tests.fixtures.core import PNG
from tests.fixtures.http_app import ALICE, basic, http_app

EDITS = "/v1/images/edits"
LARGE = PNG + bytes(3_000_000)


async def test_a_large_edit_source_passes_through_a_file() -> None:
    received: list[bytes] = []

    def read(image: EditSource) -> bytes:
        image.file.seek(0)
        return image.file.read()

    async with http_app() as app:

        def keep_sources() -> None:
            received.extend(read(image) for image in app.generator.requests[-1].images)

        app.generator.on_call = keep_sources
        app.generator.outcome = GeneratedImage(LARGE)
        stored = await app.create()
        data_url = f"data:image/png;base64,{base64.b64encode(LARGE).decode()}"
        for body in (
            {"files": {"image": LARGE}, "data": {"prompt": "x"}},
            {"json": {"prompt": "x", "images": [{"image_url": data_url}]}},
            {"json": {"prompt": "x", "images": [{"file_id": stored["guid"]}]}},
        ):
            response = await app.client.post(EDITS, auth=basic(ALICE), **body)
            assert response.status_code == 200, response.text
            assert all(image.file.closed for image in app.generator.requests[-1].images)
    assert received == [LARGE] * 3
