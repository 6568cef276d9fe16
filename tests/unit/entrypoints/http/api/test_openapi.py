"""The document in the words of OpenAPI 3.0."""

from typing import Any

from pixyproxy.entrypoints.http.api.openapi_dialect import in_openapi_3_0


def schema_in_3_0(schema: dict[str, Any]) -> dict[str, Any]:
    colour = {"type": "string", "enum": ["red", "blue"], "title": "Colour"}
    document = {
        "openapi": "3.1.0",
        "info": {"title": "T", "summary": "In short.", "description": "At length."},
        "components": {"schemas": {"Colour": colour, "It": schema}},
    }
    found = in_openapi_3_0(document)
    assert found["openapi"] == "3.0.3"
    assert found["info"] == {"title": "T", "description": "In short.\n\nAt length."}
    assert found["components"]["schemas"]["Colour"] == colour
    it: dict[str, Any] = found["components"]["schemas"]["It"]
    return it


REFERENCE = {"$ref": "#/components/schemas/Colour"}


def test_null_is_said_beside_the_type() -> None:
    schema = {"anyOf": [{"type": "string", "maxLength": 5}, {"type": "null"}], "default": None, "description": "d"}
    assert schema_in_3_0(schema) == {"type": "string", "maxLength": 5, "description": "d", "nullable": True}


def test_null_is_one_of_the_values_of_an_enumeration() -> None:
    schema = {"anyOf": [REFERENCE, {"type": "null"}], "title": "It"}
    assert schema_in_3_0(schema) == {"type": "string", "enum": ["red", "blue", None], "title": "It", "nullable": True}


def test_a_choice_of_more_stays_a_choice() -> None:
    schema = {"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]}
    assert schema_in_3_0(schema) == {"anyOf": [{"type": "string"}, {"type": "integer"}], "nullable": True}
    plain = {"anyOf": [{"type": "string"}, {"type": "integer"}]}
    assert schema_in_3_0(plain) == plain


def test_constants_and_examples_have_their_older_words() -> None:
    schema = {"properties": {"a": {"const": "ok", "examples": ["ok", "no"]}}, "examples": [{"a": "ok"}]}
    assert schema_in_3_0(schema) == {
        "properties": {"a": {"enum": ["ok"], "example": "ok"}},
        "example": {"a": "ok"},
    }


def test_what_stands_beside_a_reference_is_kept() -> None:
    assert schema_in_3_0({**REFERENCE, "default": "red"}) == {"allOf": [REFERENCE], "default": "red"}
    assert schema_in_3_0(dict(REFERENCE)) == REFERENCE
