"""The OpenAPI document: what FastAPI finds in the routes, completed by what it cannot see."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from pixyproxy.application.commands import Command, SearchImages
from pixyproxy.entrypoints.http.api.openapi_dialect import in_openapi_3_0
from pixyproxy.entrypoints.http.representation.schemas import ImageDetail, Problem

_MEANING = {
    400: "The body is not JSON, or not UTF-8; or the generator cannot do this at all (`code: editing-unsupported`).",
    401: "Credentials are needed, or those given are wrong.",
    403: "Only the author may do this.",
    404: "There is no such image, or none that you may see.",
    409: "The state of the image does not allow this; see `code`.",
    412: "A condition of the request does not hold.",
    413: "The body is larger than 1 MiB.",
    415: "The body is not declared as JSON.",
    416: "The range lies outside the image.",
    422: "Something in the input is wrong, or the generator refuses it (`code: prompt-rejected`).",
    429: "The generator asks for fewer requests.",
    500: "A fault of the service.",
    502: "The generator failed or answered nonsense.",
    503: "The database is away, or all places are taken.",
    504: "The generator did not answer in time.",
    507: "No space is left; nothing was paid unless the problem says so.",
}
RETRY_AFTER = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}}
LOGIN: list[dict[str, list[str]]] = [{"basic": []}, {"bearer": []}]
"""HTTP Basic, or an API key."""
SECURITY: list[dict[str, list[str]]] = [{}, *LOGIN]
"""Anonymous, as far as the operator lets it, or a login."""
_SCHEMES = {
    "basic": {"type": "http", "scheme": "basic", "description": "Username and password."},
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, which begins with `pxy_`."},
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The documentation of these error answers, and of those that every route may give."""
    documented: dict[int | str, dict[str, Any]] = {}
    for status in sorted({401, 500, 503, *statuses}):
        documented[status] = {
            "description": _MEANING[status],
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        if status in {409, 429, 503}:
            documented[status]["headers"] = RETRY_AFTER
        if status == 401:
            documented[status]["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}}}
    return documented


def body_of(command: type[Command]) -> dict[str, Any]:
    """The request body of a route that reads its JSON itself."""
    reference = {"$ref": f"#/components/schemas/{command.__name__}"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": reference}}}}


def search_parameters() -> dict[str, Any]:
    """The query parameters of the list."""
    return {"parameters": query_parameters(SearchImages)}


def query_parameters(command: type[Command]) -> list[dict[str, Any]]:
    """The query parameters of a route, from the command that validates them."""
    parameters = []
    for name, schema in command.model_json_schema(ref_template="#/components/schemas/{model}")["properties"].items():
        schema = _without_null(schema)
        description = schema.pop("description", "")
        if schema.get("default", "") is None:
            del schema["default"]
        schema.pop("title", None)
        parameters.append(
            {"name": name, "in": "query", "required": False, "description": description, "schema": schema}
        )
    return parameters


def document(app: FastAPI, referred: tuple[type[BaseModel], ...]) -> dict[str, Any]:
    """The complete document; computed once."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title, version=app.version, summary=app.summary, description=app.description, routes=app.routes
        )
        components = schema.setdefault("components", {})
        _drop_framework_errors(schema)
        components["securitySchemes"] = _SCHEMES
        models: tuple[type[BaseModel], ...] = (*referred, SearchImages, Problem, ImageDetail)
        for model in models:
            _add_model(components.setdefault("schemas", {}), model)
        del components["schemas"]["SearchImages"]
        app.openapi_schema = in_openapi_3_0(schema)
    return app.openapi_schema


def _drop_framework_errors(schema: dict[str, Any]) -> None:
    """The framework expects to refuse what does not fit a path; here it is not found, and never in its words."""
    for operations in schema["paths"].values():
        for operation in operations.values():
            if "HTTPValidationError" in str(operation["responses"].get("422")):
                del operation["responses"]["422"]
    for name in ("HTTPValidationError", "ValidationError"):
        schema["components"].get("schemas", {}).pop(name, None)


def _add_model(schemas: dict[str, Any], model: type[BaseModel]) -> None:
    definition = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(definition.pop("$defs", {}))
    schemas[model.__name__] = definition


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A query parameter is absent, never null."""
    choices = [choice for choice in schema.pop("anyOf", []) if choice.get("type") != "null"]
    if len(choices) == 1:
        schema = {**choices[0], **schema}
    return schema
