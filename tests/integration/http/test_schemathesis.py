"""The OpenAPI document and the service agree: Schemathesis, all phases and all checks, on a real server."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.openai.upstream import FakeUpstream
from tests.fixtures.service import PATIENCE_S, Service, problem

ALICE, BOB = ("alice", "secret of alice"), ("bob", "secret of bob")
FEW, MANY = 3, 15
"""Random requests for an operation, and random sequences of them; requests at the bounds of the schema come besides."""
ALL_PHASES = "examples,coverage,fuzzing,stateful"
"""The short form leaves out the latter two, random requests and sequences, which take nearly half of the time."""
ROOT = Path(__file__).parents[3]

# No schema can describe which cursors the service has made, so a real one is given. A pattern could exclude NUL from
# prompts, but generating 32,000 characters from it takes minutes. A schema cannot express Unicode categories. So the
# deterministic phases use all of Unicode, and the stateful phase, which continues from random GUIDs and times and never
# repeats itself, uses ASCII, where the schema is complete.
CONFIG = """
continue-on-failure = true
hooks = "tests.integration.http.schemathesis_hooks"

[parameters]
"query.cursor" = {cursor}
{parameters}

[generation]
deterministic = true
allow-x00 = false
max-examples = {examples}

[phases.coverage.extra-data-sources]
responses = false
[phases.fuzzing.extra-data-sources]
responses = false

[phases.stateful.generation]
codec = "ascii"
"""
# A base64 string need not be a picture, and no schema knows which GUIDs exist.
EDITING = """
[[operations]]
include-operation-id = "edit_images"
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "400", "401", "404", "409", "429", "5xx"]
"""
# No schema relates two days, or knows whose usage a caller may see.
ASKING_FOR_USAGE = """
[[operations]]
include-operation-id = "get_usage"
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "403", "422", "5xx"]
"""
# No schema knows who has which password.
LOGGING_IN = """
[[operations]]
include-operation-id = "begin_session"
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "429", "5xx"]
"""
# No schema knows who there is, whom the caller may act on, which names are taken, and what time it is.
PEOPLE_AND_MONEY = """
[[operations]]
include-operation-id = "list_users"
[operations.parameters]
"query.cursor" = "Ym9i"
""" + "".join(
    f"""
[[operations]]
include-operation-id = "{name}"
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "403", "404", "409", "422", "429", "5xx"]
"""
    for name in ("import_users", "add_user", "change_user", "remove_user", "add_key", "revoke_key", "set_budget",
                 "remove_budget")
)  # fmt: skip
# Only a user who is logged in may create a private image; a schema cannot express what depends on the caller.
CREATING_ANONYMOUSLY = """
[[operations]]
include-operation-id = "create_image"
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "404", "409", "422", "429", "5xx"]

[[operations]]
include-operation-id = "price_image"
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "404", "409", "422", "429", "5xx"]

[[operations]]
include-operation-id = "generate_images"
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "400", "401", "409", "429", "5xx"]
"""


@pytest.fixture(scope="module")
def open_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Start a service with a fast upstream, where anonymous callers may write, and some images of alice."""
    settings = {"PIXYPROXY_GENERATOR": "openai", "OPENAI_API_KEY": "sk-test-0123456789", "PIXYPROXY_ANONYMOUS": "write"}
    with (
        FakeUpstream(default="fast size=1000") as upstream,
        Service(tmp_path_factory.mktemp("schema"), **settings, OPENAI_BASE_URL=upstream.base_url) as service,
    ):
        service.add_user(*ALICE)
        service.add_user(*BOB)
        with service.client(ALICE) as client:
            for _ in range(3):
                assert client.post("/image", json={"prompt": "a duck"}).status_code == 200
        yield service


def run(
    service: Service,
    folder: Path,
    *options: str,
    user: tuple[str, str] | None,
    guid: str = "",
    scope: str = "",
    selected: int = 33,
    examples: int = MANY,
) -> None:
    with service.client() as client:
        cursor = client.get("/image?limit=1").links["next"]["url"].rpartition("cursor=")[2]
    given = {"path.guid": guid, "path.scope": scope}
    parameters = "\n".join(f'"{name}" = {json.dumps(value)}' for name, value in given.items() if value)
    config = CONFIG.format(cursor=json.dumps(cursor), parameters=parameters, examples=examples)
    described = EDITING + ASKING_FOR_USAGE + LOGGING_IN + PEOPLE_AND_MONEY + ("" if user else CREATING_ANONYMOUSLY)
    (folder / "schemathesis.toml").write_text(config + described)
    program = str(Path(sys.executable).with_name("st"))
    login = ["--auth", ":".join(user)] if user else []
    command = [program, "--config-file", "schemathesis.toml", "run", f"{service.url}/openapi.json", "--no-color"]
    done = subprocess.run(
        [*command, "--checks", "all", *login, *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        timeout=5 * PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(rf"Operations: +{selected} selected / 33 total", done.stdout), done.stdout


def successes(log: str) -> set[tuple[str, int]]:
    """Return pairs of handler and status from the log."""
    ends = re.findall(r"\[(\w+):\d+\] REQUEST END .* (\d{3}) \d+B [\d.]+ms", log)
    return {(name, int(status)) for name, status in ends}


def image_of_alice(service: Service) -> str:
    with service.client(ALICE) as client:
        guid: str = client.post("/image", json={"prompt": "a duck"}).json()["guid"]
        return guid


# The run must reach these, or their documentation is not checked.
EVERYBODY = {("create_image", 200), ("create_image", 400), ("create_image", 415), ("create_image", 422),
             ("generate_images", 200), ("generate_images", 400), ("list_models", 200), ("get_thumbnail", 200),
             ("get_image", 200), ("get_content", 200), ("get_named_content", 200),
             ("list_images", 200), ("list_images", 422), ("price_image", 200), ("price_image", 400),
             ("price_image", 415), ("price_image", 422), ("list_budgets", 200), ("get_session", 200),
             ("get_usage", 200), ("get_usage", 422),
             ("end_session", 204), ("begin_session", 401), ("begin_session", 415), ("begin_session", 422)}  # fmt: skip
AUTHOR = {("update_image", 200), ("update_image", 400), ("update_image", 422), ("delete_image", 204), ("get_me", 200),
          ("get_image", 404)}  # fmt: skip
PEOPLE = {("import_users", 403), ("list_users", 403), ("add_user", 403),
          ("add_user", 400), ("change_user", 403), ("remove_user", 403),
          ("list_keys", 200), ("add_key", 201), ("add_key", 422), ("revoke_key", 404), ("set_budget", 403),
          ("remove_budget", 403)}  # fmt: skip
STAFF = {("list_users", 200), ("list_users", 422), ("add_user", 201), ("add_user", 422), ("change_user", 404),
         ("remove_user", 404), ("list_keys", 200), ("add_key", 201), ("get_usage", 200), ("get_image", 200),
         ("list_images", 200), ("update_image", 403), ("update_image", 422), ("delete_image", 403)}  # fmt: skip
OF_ROLE = {
    "teacher": {("add_user", 403), ("set_budget", 404), ("remove_budget", 404), ("settle_image", 403)},
    "admin": {("set_budget", 200), ("set_budget", 422), ("remove_budget", 404), ("settle_image", 409)},
}
ANONYMOUS = {("get_metrics", 401), ("settle_image", 401), ("update_image", 401), ("delete_image", 401), ("get_me", 401)}
OTHER = {("settle_image", 403), ("update_image", 400), ("update_image", 403), ("delete_image", 403), ("get_me", 200)}


# The stateful phase does not always come to these for an image that it has made.
OF_AN_IMAGE = ["get_image", "get_content", "get_named_content", "get_thumbnail", "update_image"]


@pytest.mark.parametrize(
    ("phases", "examples"), [("examples,coverage", FEW), pytest.param(ALL_PHASES, MANY, marks=pytest.mark.slow)]
)
def test_responses_to_an_author_are_documented(
    phases: str, examples: int, open_service: Service, tmp_path: Path
) -> None:
    before = len(open_service.log)
    run(open_service, tmp_path, "--phases", phases, user=ALICE, examples=examples)
    for operations in (OF_AN_IMAGE, ["delete_image"]):
        options = [part for name in operations for part in ("--include-operation-id", name)]
        options += ["--phases", "examples,coverage,fuzzing"]
        guid, selected = image_of_alice(open_service), len(operations)
        run(open_service, tmp_path, *options, user=ALICE, guid=guid, selected=selected, examples=examples)
    seen = successes(open_service.log[before:])
    expected = EVERYBODY | AUTHOR | PEOPLE
    assert seen >= expected, expected - seen
    assert not {(name, status) for name, status in seen if status >= 500}


@pytest.mark.slow
@pytest.mark.parametrize(("user", "reached"), [(None, ANONYMOUS), (BOB, OTHER)], ids=["anonymous", "other"])
def test_responses_about_the_image_of_another_are_documented(
    user: tuple[str, str] | None, reached: set[tuple[str, int]], open_service: Service, tmp_path: Path
) -> None:
    before = len(open_service.log)
    # The stateful phase would create images of its own: bob's, or anonymous ones.
    guid = image_of_alice(open_service)
    run(open_service, tmp_path, "--phases", "examples,coverage,fuzzing", user=user, guid=guid)
    seen = successes(open_service.log[before:])
    assert seen >= EVERYBODY | reached, (EVERYBODY | reached) - seen
    assert not {(name, status) for name, status in seen if status >= 500}


@pytest.mark.slow
@pytest.mark.parametrize("role", ["teacher", "admin"])
def test_responses_to_staff_are_documented(role: str, open_service: Service, tmp_path: Path) -> None:
    user = (f"{role} of 9a", "secret of the staff")
    open_service.add_user(*user, class_key="9a", role=role)
    before = len(open_service.log)
    people = ["list_users", "import_users", "add_user", "change_user", "remove_user"]
    people += ["list_budgets", "set_budget", "remove_budget", "get_usage", "settle_image"]
    people += ["get_image", "update_image", "delete_image", "list_images"]
    only = [
        part for name in [*people, "list_keys", "add_key", "revoke_key"] for part in ("--include-operation-id", name)
    ]
    run(
        open_service,
        tmp_path,
        *only,
        "--phases",
        "examples,coverage,fuzzing",
        user=user,
        selected=17,
        guid=image_of_alice(open_service),
        scope="user:nobody",
    )
    seen = successes(open_service.log[before:])
    expected = STAFF | OF_ROLE[role]
    assert seen >= expected, expected - seen
    assert not {(name, status) for name, status in seen if status >= 500}


# --- the document itself --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def document(open_service: Service) -> dict[str, Any]:
    with open_service.client() as client:
        found: dict[str, Any] = client.get("/openapi.json").json()
        return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    return document["components"]["schemas"][name] if name else schema


def properties(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a schema, with those of the schemas that it combines."""
    schema = resolved(document, schema)
    found = dict(schema.get("properties", {}))
    for part in schema.get("allOf", ()):
        found |= properties(document, part)
    return found


STATUSES = {
    "list_images": "200 401 422 500 503",
    "create_image": "200 400 401 402 403 409 413 415 422 429 500 502 503 504 507",
    "price_image": "200 400 401 403 404 409 413 415 422 500 503",
    "list_budgets": "200 401 500 503",
    "settle_image": "200 400 401 403 404 409 413 415 422 500 503",
    "get_usage": "200 401 403 422 500 503",
    "set_budget": "200 400 401 403 404 413 415 422 500 503",
    "remove_budget": "204 401 403 404 500 503",
    "list_users": "200 401 403 422 500 503",
    "add_user": "201 400 401 403 409 413 415 422 500 503",
    "import_users": "200 401 403 409 413 415 422 500 503",
    "change_user": "200 400 401 403 404 413 415 422 429 500 503",
    "remove_user": "204 401 403 404 500 503",
    "list_keys": "200 401 500 503",
    "add_key": "201 400 401 409 413 415 422 500 503",
    "revoke_key": "204 401 404 500 503",
    "get_image": "200 401 404 500 503",
    "get_content": "200 206 304 401 404 409 412 416 500 503",
    "get_named_content": "200 206 304 401 404 409 412 416 500 503",
    "update_image": "200 400 401 403 404 413 415 422 500 503",
    "delete_image": "204 401 403 404 500 503",
    "get_thumbnail": "200 304 401 404 409 422 500 503",
    "generate_images": "200 202 400 401 403 409 413 415 422 429 500 502 503 504 507",
    "edit_images": "200 202 400 401 403 404 409 413 415 422 429 500 502 503 504 507",
    "list_models": "200 401 429 500 502 503 504",
    "get_model": "200 401 404 429 500 502 503 504",
    "get_me": "200 401 500 503",
    "begin_session": "200 400 401 403 413 415 422 429 500 503",
    "get_session": "200 401 500 503",
    "end_session": "204 401 403 500 503",
    "get_health": "200 401 500 503",
    "get_readiness": "200 401 500 503",
    "get_metrics": "200 401 403 500 503",
}


def test_every_route_and_status_is_documented(document: dict[str, Any]) -> None:
    found = {operation["operationId"]: set(operation["responses"]) for _, _, operation in operations(document)}
    for name, statuses in STATUSES.items():
        assert set(statuses.split()) <= found.pop(name), name
    assert found == {}


def test_everything_has_a_description_and_examples(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        assert operation["summary"]
        assert operation["tags"]
        if "requestBody" in operation:
            media_types = operation["requestBody"]["content"]
            if "text/csv" in media_types:
                continue
            schema = media_types["application/json"]["schema"]
            for name, field in properties(document, schema).items():
                assert field.get("examples"), (path, method, name)
        for parameter in operation.get("parameters", []):
            assert parameter["description"], (path, method, parameter["name"])
        for status, response in operation["responses"].items():
            assert response["description"]
            assert response["description"] != "Successful Response", (path, method, status)
            for media_type, content in response.get("content", {}).items():
                if media_type.endswith("json"):
                    schema = resolved(document, content["schema"])
                    schema = resolved(document, schema.get("items", schema))
                    has_example = schema.get("examples") or any(
                        {"examples", "enum", "const"} & set(field) for field in schema["properties"].values()
                    )
                    assert has_example, (path, method, status)
                if int(status) >= 400 and operation["operationId"] != "get_readiness":
                    assert media_type == ("application/json" if "/v1/" in path else "application/problem+json")


def test_the_document_has_no_defaults_of_the_framework(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    assert "HTTPValidationError" not in json.dumps(document)
    schemes = document["components"]["securitySchemes"]
    assert {name: (scheme["type"], scheme["scheme"]) for name, scheme in schemes.items()} == {
        "basic": ("http", "basic"),
        "bearer": ("http", "bearer"),
    }
    login: list[dict[str, list[str]]] = [{"basic": []}, {"bearer": []}]
    for _, _, operation in operations(document):
        assert operation["security"] in ([{}, *login], login)


def test_the_examples_can_be_used_as_they_are(document: dict[str, Any], open_service: Service) -> None:
    fields = document["components"]["schemas"]["CreateImage"]["properties"]
    with open_service.client(ALICE) as client:
        # No example knows which images are stored.
        body = {name: field["examples"][0] for name, field in fields.items() if name != "edit_of"}
        response = client.post("/image", json=body)
        assert response.status_code == 200, response.text
        example = document["components"]["schemas"]["ImageDetail"]["examples"][0]
        assert set(response.json()) == set(example)
        shown = document["components"]["schemas"]["Problem"]["properties"]
        refused = problem(client.post("/image", json={}))
        assert refused["type"] == shown["type"]["examples"][0]
        assert set(refused) <= set(shown)


def test_what_the_page_fills_in_names_no_stored_image(document: dict[str, Any], open_service: Service) -> None:
    for path, method, operation in operations(document):
        for parameter in operation.get("parameters", []):
            assert not {"example", "examples"} & set(parameter) | {"example", "examples"} & set(parameter["schema"])
            assert "default" not in parameter["schema"] or parameter["in"] == "query"
        if "requestBody" not in operation:
            continue
        [(media_type, content), *_] = operation["requestBody"]["content"].items()
        if media_type == "text/csv":
            continue
        assert media_type == "application/json"
        assert "guid" not in str(content["example"]).lower()
        with open_service.client(ALICE) as client:
            made = client.post("/image", json={"prompt": "a duck"}).json() | {"name": "bob", "scope": "service"}
            response = client.request(method, path.format(**made), json=content["example"])
            response = client.request(method, path.format(**made), json=content["example"])
            # No example knows a password, and alice is a student.
            refused = dict.fromkeys(("settle_image", "add_user", "change_user", "set_budget"), 403)
            status = {"begin_session": 401, "add_key": 201, **refused}.get(operation["operationId"], 200)
            assert response.status_code == status, response.text
