"""Error responses: their statuses, headers and problem documents."""

from collections.abc import AsyncIterator, Iterator

import pytest

from pixyproxy.domain import errors
from pixyproxy.entrypoints.http.representation.problems import CHALLENGE, STATUS_OF, status_of
from tests.fixtures.http_app import ALICE, MISSING, HttpApp, basic, http_app, log_lines


@pytest.fixture
async def app() -> AsyncIterator[HttpApp]:
    async with http_app() as opened:
        yield opened


def _descendants(kind: type[errors.PixyProxyException]) -> Iterator[type[errors.PixyProxyException]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _descendants(child)


def _is_core_error(kind: type[errors.PixyProxyException]) -> bool:
    # Errors of settings never reach a request, and an error class of an adapter has the status of its base.
    return kind.__module__ == "pixyproxy.domain.errors"


def test_an_error_class_of_an_adapter_has_the_status_of_its_base() -> None:
    class AdapterError(errors.DBConnectionError):
        """An error class of an adapter."""

    assert status_of(AdapterError("x")) == 503


def test_every_error_of_the_core_has_its_status() -> None:
    assert set(STATUS_OF) == set(filter(_is_core_error, _descendants(errors.PixyProxyException)))


def _raised(kind: type[errors.PixyProxyException]) -> errors.PixyProxyException:
    error = kind("message of the error")
    error.guid = MISSING
    return error


@pytest.mark.parametrize("kind", sorted(STATUS_OF, key=lambda kind: kind.__name__), ids=lambda kind: kind.__name__)
async def test_each_error_has_its_problem_document(
    kind: type[errors.PixyProxyException], app: HttpApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise _raised(kind)

    monkeypatch.setattr(app.container.image_service(), "create", fail)
    response = await app.client.post("/image/", json={"prompt": "secret words"})
    body = response.json()
    expected = {
        "type": f"urn:pixyproxy:problem:{kind.code}",
        "title": body["title"],
        "status": STATUS_OF[kind],
        "detail": "message of the error",
        "instance": "/image",
        "code": kind.code,
        "request_id": response.headers["x-request-id"],
        "guid": MISSING,
    }
    if kind is errors.DataValidationError:
        expected["errors"] = []
    assert body == expected
    assert body["title"]
    assert response.status_code == STATUS_OF[kind]
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    assert (response.headers.get("www-authenticate") == CHALLENGE) == (response.status_code == 401)
    if response.status_code in {429, 503}:
        assert int(response.headers["retry-after"]) >= 1


@pytest.mark.parametrize(("seconds", "header"), [(0.0, "1"), (0.2, "1"), (7.2, "8"), (3600.0, "3600")])
async def test_retry_after_is_in_whole_seconds(
    seconds: float, header: str, app: HttpApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.generator.outcome = errors.GeneratorRateLimitedError("slow down", retry_after_s=seconds)
    response = await app.client.post("/image", json={"prompt": "x"})
    assert (response.status_code, response.headers["retry-after"]) == (429, header)


async def test_a_refused_prompt_keeps_the_reason_and_the_guid(app: HttpApp) -> None:
    app.generator.outcome = errors.PromptRejectedError("The safety system says no.")
    response = await app.client.post("/image", json={"prompt": "x"}, auth=basic(ALICE))
    body = response.json()
    assert (response.status_code, body["code"], body["detail"]) == (
        422,
        "prompt-rejected",
        "The safety system says no.",
    )
    failed = (await app.client.get(f"/image/{body['guid']}", auth=basic(ALICE))).json()
    assert failed["status"] == "failed"
    assert failed["error"] == {"code": "prompt-rejected", "message": "The safety system says no."}


async def test_invalid_input_is_described_by_field(app: HttpApp) -> None:
    response = await app.client.post("/image", json={"prompt": " ", "tags": [5], "x": 1})
    body = response.json()
    assert (response.status_code, body["code"], body["title"]) == (422, "validation-failed", "Unprocessable Content")
    assert {tuple(error["loc"]) for error in body["errors"]} == {("prompt",), ("tags", 0), ("x",)}
    assert all(error["msg"] for error in body["errors"])


async def test_an_unexpected_error_is_logged_and_not_described(app: HttpApp, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError("SELECT secret FROM /srv/path")

    monkeypatch.setattr(app.container.image_service(), "search", fail)
    with log_lines() as lines:
        response = await app.client.get("/image")
    body = response.json()
    assert (response.status_code, body["code"]) == (500, "internal-error")
    assert "SELECT" not in response.text
    assert "Traceback" not in response.text
    assert body["request_id"] == response.headers["x-request-id"]
    assert any("RuntimeError: SELECT secret" in line for line in lines)
    assert next(line for line in lines if "REQUEST END" in line).split()[-3] == "500"


async def test_server_errors_are_logged_and_client_errors_are_not(app: HttpApp) -> None:
    app.generator.outcome = errors.GeneratorCredentialsError("The generator refuses the credentials.")
    with log_lines() as lines:
        await app.client.post("/image", json={"prompt": "x"})
        await app.client.post("/image", json={"prompt": ""})
        await app.client.get("/nowhere")
    [error] = [line for line in lines if " ERROR " in line]
    assert "responding 502: GeneratorCredentialsError" in error


@pytest.mark.parametrize(
    "path", ["/nowhere", "/image/x/y/z", "/image//", "/IMAGE", "/image/%2e%2e/secret", "/docs/assets/none"]
)
async def test_an_unknown_path_is_a_problem(path: str, app: HttpApp) -> None:
    response = await app.client.get(path)
    assert (response.status_code, response.json()["code"]) == (404, "not-found")


@pytest.mark.parametrize("path", ["//image", "", "*", "image", "/image\x00"])
async def test_a_malformed_path_is_unknown(path: str, app: HttpApp) -> None:
    assert (await app.raw("GET", path)).status == 404


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/image", "GET, HEAD, POST"),
        ("DELETE", "/image/", "GET, HEAD, POST"),
        ("OPTIONS", "/image", "GET, HEAD, POST"),
        ("POST", f"/image/{MISSING}", "DELETE, GET, HEAD, PATCH"),
        ("POST", f"/image/{MISSING}/content/", "GET, HEAD"),
        ("POST", "/user/me", "GET, HEAD"),
        ("DELETE", "/healthz", "GET, HEAD"),
        ("POST", "/readyz", "GET, HEAD"),
        ("POST", "/openapi.json", "GET, HEAD"),
        ("POST", "/docs/assets/swagger-ui.css", "GET, HEAD"),
        ("BREW", "/image", "GET, HEAD, POST"),
    ],
)
async def test_a_wrong_method_is_answered_with_the_allowed_ones(
    method: str, path: str, allow: str, app: HttpApp
) -> None:
    response = await app.client.request(method, path)
    assert (response.status_code, response.json()["code"], response.headers["allow"]) == (
        405,
        "method-not-allowed",
        allow,
    )


@pytest.mark.parametrize(
    ("path", "instance"),
    [
        ("/nowhere/%20%0A", "/nowhere/%20%0A"),
        ("/n%3Fx=1%23y", "/n%3Fx=1%23y"),
        ("/🦆", "/%F0%9F%A6%86"),
        ("/a%2Fb", "/a/b"),
    ],
)
async def test_the_instance_is_a_uri_reference(path: str, instance: str, app: HttpApp) -> None:
    assert (await app.client.get(path)).json()["instance"] == instance


@pytest.mark.parametrize("host", [b"", b"a b", b"evil/path?", b"\xff", b"[", b"x:99999"])
async def test_a_malformed_host_is_refused_everywhere(host: bytes, app: HttpApp) -> None:
    for method, path in (("GET", "/nowhere"), ("POST", "/healthz")):
        response = await app.raw(method, path, headers=[(b"host", host)])
        assert (response.status, response.header("content-type")) == (400, "application/problem+json")


async def test_a_query_string_that_is_not_text_is_harmless(app: HttpApp) -> None:
    assert (await app.raw("GET", "/nowhere", query=b"\xff")).status == 404
    json = [(b"content-type", b"application/json")]
    body = [{"type": "http.request", "body": b'{"prompt": "x"}'}]
    response = await app.raw("POST", "/image", headers=json, query=b"\xff", messages=body)
    assert response.status == 200
    assert response.header("location").startswith("http://test.example/image/")
