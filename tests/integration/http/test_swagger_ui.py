"""The vendored files of Swagger UI."""

import hashlib

from pixyproxy.entrypoints.http.api.docs_routes import SWAGGER_UI


def test_the_files_of_swagger_ui_are_those_of_their_release() -> None:
    sums = (SWAGGER_UI / "SHA256SUMS").read_text(encoding="ascii").splitlines()
    expected = {name: digest for digest, name in (line.split() for line in sums)}
    found = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in SWAGGER_UI.iterdir()}
    del found["SHA256SUMS"], found["VERSION"]
    assert found == expected
    assert {"LICENSE", "NOTICE", "swagger-ui-bundle.js", "swagger-ui.css"} <= set(found)


def test_swagger_ui_understands_openapi_3_1() -> None:
    name, version = (SWAGGER_UI / "VERSION").read_text(encoding="ascii").split()
    assert name == "swagger-ui-dist"
    assert int(version.partition(".")[0]) >= 5
