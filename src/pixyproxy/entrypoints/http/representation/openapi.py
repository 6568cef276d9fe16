"""The OpenAPI 3.1 document: FastAPI's, completed by the parts that it cannot see."""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Annotated, Any

from fastapi import FastAPI, Path
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from pixyproxy.application.commands import Command, SearchImages
from pixyproxy.entrypoints.http.direct_route import DirectRoute
from pixyproxy.entrypoints.http.representation.schemas import ImageDetail, Problem

Responses = dict[int | str, dict[str, Any]]

ERROR_DESCRIPTIONS: Mapping[int, str] = {
    400: "The body is not JSON in UTF-8; or the generator cannot do this at all (`code: editing-unsupported`).",
    401: "Credentials are missing or wrong.",
    402: "It could exceed a budget (`code: budget-exceeded`); or no price of the model is known, which a budget needs "
    "(`code: unpriced-model`). Nothing was generated or paid.",
    403: "The caller may not do this; or the account is paused (`code: account-paused`); or a page of another site "
    "asks for it (`code: cross-site`).",
    404: "There is none, or none that you may see.",
    409: "What is stored does not allow this; see `code`.",
    412: "A condition of the request does not hold.",
    413: "The body is too large.",
    415: "The Content-Type is not supported.",
    416: "The range lies outside the image, or the `Range` field is longer than 200 characters.",
    421: "`PIXYPROXY_TRUSTED_HOSTS` does not list the host of the request.",
    422: "The input is invalid, or the generator refuses it (`code: prompt-rejected`).",
    429: "The generator asks for fewer requests, too many generations of the caller are running, or too many logins "
    "have failed.",
    500: "The service has a fault.",
    502: "The generator failed, or its response is malformed.",
    503: "The database is unavailable, or the service is at its capacity.",
    504: "The generator did not respond in time.",
    507: "No space is left; nothing was paid unless the error says so.",
}
RETRY_AFTER = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}}
LOGIN: list[dict[str, list[str]]] = [{"basic": []}, {"bearer": []}]
"""HTTP Basic, or an API key."""
SECURITY: list[dict[str, list[str]]] = [{}, *LOGIN]
"""A login, or none, as far as the operator allows it."""
_SECURITY_SCHEMES = {
    "basic": {"type": "http", "scheme": "basic", "description": "Username and password."},
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key, which begins with `pxy_`; also in `api-key` or `x-api-key`.",
    },
}

Guid = Annotated[str, Path(description="The GUID of an image.", json_schema_extra={"format": "uuid"})]
"""A GUID in a path: any other text names no image and is answered 404."""


def parameter(name: str, place: str, description: str, **schema: object) -> dict[str, Any]:
    """Describe an optional parameter, a string unless the schema says otherwise; `place` is `query` or `header`."""
    return {
        "name": name,
        "in": place,
        "required": False,
        "description": description,
        "schema": {"type": "string", **schema},
    }


def header(description: str) -> dict[str, Any]:
    """Describe a response header."""
    return {"description": description, "schema": {"type": "string"}}


SIGNATURE = [
    parameter(name, "query", "Grants access to a private image for a while; part of the addresses handed out.")
    for name in ("expires", "signature")
]
IDEMPOTENCY_KEY = parameter(
    "Idempotency-Key",
    "header",
    "The same key and the same body get the same image, and the upstream is called once. Kept as long as the image.",
    minLength=1,
    maxLength=255,
    pattern="^[!-~]+$",
)
PICTURE_HEADERS = {
    "ETag": header("Identifies the bytes."),
    "Last-Modified": {"schema": {"type": "string"}},
    "Content-Disposition": header("`inline`, with the file name."),
}


def schema_ref(name: str) -> dict[str, str]:
    """Return a reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def problems(*statuses: int) -> Responses:
    """Describe these error responses, and those that every route may give."""
    return error_responses(
        {401, 403, 421, 500, 503, *statuses}, "Problem", "application/problem+json", ERROR_DESCRIPTIONS
    )


def error_responses(
    statuses: Iterable[int], schema: str, media_type: str, descriptions: Mapping[int, str]
) -> Responses:
    """Describe error responses whose bodies have one schema."""
    described: Responses = {}
    for status in sorted(statuses):
        described[status] = {
            "description": descriptions[status],
            "content": {media_type: {"schema": schema_ref(schema)}},
        }
        if status in {409, 429, 503}:
            described[status]["headers"] = RETRY_AFTER
        if status == 401:
            described[status]["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}}}
    return described


def request_body(command: type[Command], example: Mapping[str, object]) -> dict[str, Any]:
    """Describe the body of a route that parses its JSON itself.

    `/docs` sends the example as it is: it must be one that works. Without one `/docs` fills in every field.
    """
    content = {"application/json": {"schema": schema_ref(command.__name__), "example": example}}
    return {"requestBody": {"required": True, "content": content}}


@cache
def query_parameters(command: type[Command]) -> list[dict[str, Any]]:
    """Describe the query parameters of a route from the command that validates them."""
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


def openapi_document(app: FastAPI, models: Iterable[type[BaseModel]]) -> dict[str, Any]:
    """Return the document, built once, with the schemas of these models besides those of the routes."""
    if app.openapi_schema is None:
        routes = [route.documented() for route in app.routes if isinstance(route, DirectRoute)]
        document = get_openapi(
            title=app.title, version=app.version, summary=app.summary, description=app.description, routes=routes
        )
        components = document.setdefault("components", {})
        components["securitySchemes"] = _SECURITY_SCHEMES
        schemas = components.setdefault("schemas", {})
        _drop_framework_errors(document)
        all_models: tuple[type[BaseModel], ...] = (*models, SearchImages, Problem, ImageDetail)
        for model in all_models:
            definition = model.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas.update(definition.pop("$defs", {}))
            schemas[model.__name__] = definition
        del schemas["SearchImages"]  # its fields are query parameters; only its definitions are referred to
        app.openapi_schema = document
    return app.openapi_schema


def _drop_framework_errors(document: dict[str, Any]) -> None:
    """Remove the 422 that FastAPI adds to routes with path parameters: these routes take any text there."""
    for operations in document["paths"].values():
        for operation in operations.values():
            if "HTTPValidationError" in str(operation["responses"].get("422")):
                del operation["responses"]["422"]
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema without the choice of null: a query parameter is absent, never null."""
    choices = [choice for choice in schema.pop("anyOf", []) if choice.get("type") != "null"]
    return {**choices[0], **schema} if len(choices) == 1 else schema
