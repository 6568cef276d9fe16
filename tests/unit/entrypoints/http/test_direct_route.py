"""Routes that pass the request to their function as it is."""

import pytest
from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from starlette.testclient import TestClient

from pixyproxy.entrypoints.http.direct_route import DirectRoute, direct_router


def test_the_function_gets_the_request_and_the_path_parameters_as_text() -> None:
    router = direct_router("things")

    @router.get("/thing/{number}")
    async def get_thing(request: Request, number: str) -> Response:
        return Response(f"{request.method} {number!r} {request.query_params['q']}")

    with TestClient(FastAPI(routes=list(router.routes))) as client:
        assert client.get("/thing/007?q=x").text == "GET '007' x"
        assert client.post("/thing/007").status_code == 405


def test_fastapi_documents_the_route() -> None:
    router = direct_router("things")

    @router.get("/thing/{number}", summary="Get a thing", deprecated=True)
    async def get_thing(request: Request, number: str) -> Response:
        return Response(number)

    [route] = router.routes
    assert isinstance(route, DirectRoute)
    document = get_openapi(title="Things", version="1", routes=[route.documented()])
    operation = document["paths"]["/thing/{number}"]["get"]
    assert (operation["operationId"], operation["tags"]) == ("get_thing", ["things"])
    assert (operation["summary"], operation["deprecated"]) == ("Get a thing", True)
    assert [parameter["name"] for parameter in operation["parameters"]] == ["number"]


def test_a_function_with_other_parameters_is_refused() -> None:
    router = direct_router("things")

    async def wants_a_query(request: Request, q: str) -> Response:
        return Response(q)

    async def wants_nothing() -> Response:
        return Response()

    for function in (wants_a_query, wants_nothing):
        with pytest.raises(TypeError, match=function.__name__):
            router.get("/thing")(function)
