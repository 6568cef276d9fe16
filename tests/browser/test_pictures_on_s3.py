"""Pictures to which the browser is sent on S3."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Open
from tests.fixtures.s3.seaweedfs import S3Server
from tests.fixtures.service import Service


@pytest.mark.slow
def test_the_page_shows_pictures_to_which_the_service_redirects(
    s3_server: S3Server, s3_prefix: str, open_page: Open, tmp_path: Path
) -> None:
    settings = s3_server.environment(s3_prefix) | {"S3_DELIVERY": "redirect"}
    with Service(tmp_path / "service", **settings) as service:
        with service.client() as client:
            detail = client.post("/image", json={"prompt": "a duck", "size": "256x256"}).json()
            assert client.get(detail["content_url"]).status_code == 307
        page = open_page(f"/view/{detail['guid']}", at=service.url)
        picture = page.locator(f"img[src$='{detail['content_url']}']").first
        expect(picture).to_be_visible()
        picture.evaluate("picture => picture.decode()")
        assert picture.evaluate("picture => picture.naturalWidth") == 256
