"""Routes that call their function with the request as it is."""

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.testclient import TestClient

from pixyproxy.entrypoints.http.application import Application, Dispatcher
from pixyproxy.entrypoints.http.direct_route import direct_router
from pixyproxy.entrypoints.http.route_table import RouteTable


def test_the_function_gets_the_request_and_the_path_as_text() -> None:
    router = direct_router("things")

    @router.get("/thing/{number}")
    async def get_thing(request: Request, number: str) -> Response:
        return Response(f"{request.method} {number!r} {request.query_params['q']}")

    app = FastAPI()
    app.router.routes.extend(router.routes)
    with TestClient(app) as client:
        assert client.get("/thing/007?q=x").text == "GET '007' x"
        assert client.post("/thing/007").status_code == 405
    operation = app.openapi()["paths"]["/thing/{number}"]["get"]
    assert (operation["operationId"], operation["tags"]) == ("get_thing", ["things"])
    assert [parameter["name"] for parameter in operation["parameters"]] == ["number"]


def test_a_function_that_asks_for_more_is_refused_at_once() -> None:
    router = direct_router("things")

    async def wants_a_query(request: Request, q: str) -> Response:
        return Response(q)

    async def wants_nothing() -> Response:
        return Response()

    for function in (wants_a_query, wants_nothing):
        with pytest.raises(TypeError, match=function.__name__):
            router.get("/thing")(function)


async def test_the_dispatcher_leaves_to_the_router_what_is_no_direct_route() -> None:
    router = direct_router("things")

    @router.get("/thing")
    async def get_thing(request: Request) -> Response:
        return Response("direct")

    @router.get("/thing/{name}")
    async def get_named(request: Request, name: str) -> Response:
        return Response(name)

    routes = RouteTable(router.routes)
    app = Application(lambda inner: Dispatcher(inner, routes))
    app.mount("/files", Starlette(routes=[Route("/a", lambda request: Response("mounted"))]))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        found = [(await client.get(path)).text for path in ("/thing", "/thing/caf%C3%A9", "/files/a")]
    assert found == ["direct", "café", "mounted"]
    assert routes.find("GET", "/thing/x/y") is None
    assert routes.find("PUT", "/thing") is None


def test_the_table_takes_no_other_routes() -> None:
    with pytest.raises(TypeError, match="no direct route"):
        RouteTable([Route("/a", lambda request: Response())])
