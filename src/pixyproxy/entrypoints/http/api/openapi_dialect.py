"""Puts a document into the words of OpenAPI 3.0, which the documentation page and most tools understand."""

from typing import Any

_VERSION = "3.0.3"
_NULL = {"type": "null"}


def in_openapi_3_0(document: dict[str, Any]) -> dict[str, Any]:
    """The same document without what only OpenAPI 3.1 knows (https://spec.openapis.org/oas/v3.0.3)."""
    info = dict(document["info"])
    if summary := info.pop("summary", None):
        info["description"] = f"{summary}\n\n{info['description']}"
    reworded: dict[str, Any] = _reworded({**document, "info": info}, document["components"]["schemas"])
    return {**reworded, "openapi": _VERSION}


def _reworded(node: Any, schemas: dict[str, Any]) -> Any:
    if isinstance(node, list):
        return [_reworded(item, schemas) for item in node]
    if not isinstance(node, dict):
        return node
    found = dict(node)
    if _NULL in found.get("anyOf", ()):
        found = _nullable(found, schemas)
    if isinstance(found.get("examples"), list):
        found["example"] = found.pop("examples")[0]
    if "const" in found:
        found["enum"] = [found.pop("const")]
    if "$ref" in found and len(found) > 1:
        # What stands beside a reference would be ignored.
        found["allOf"] = [{"$ref": found.pop("$ref")}]
    return {name: _reworded(value, schemas) for name, value in found.items()}


def _nullable(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """The schema with the choice of null said in the older way, which needs the type, and null among the values."""
    choices = [choice for choice in schema["anyOf"] if choice != _NULL]
    rest: dict[str, Any] = choices[0] if len(choices) == 1 else {"anyOf": choices}
    if reference := rest.get("$ref"):
        rest = schemas[reference.rpartition("/")[2]]
    if "enum" in rest:
        rest = {**rest, "enum": [*rest["enum"], None]}
    own = {name: value for name, value in schema.items() if name != "anyOf" and (name, value) != ("default", None)}
    return {**rest, **own, "nullable": True}
