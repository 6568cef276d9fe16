"""Adapters of another, installed package are chosen by name."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.service import Service, pixyproxy

PACKAGE = Path(__file__).parents[1] / "fixtures" / "plugin_package"


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return an environment in which Python finds the installed package."""
    target = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*command, "--target", str(target), str(PACKAGE)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return {"PYTHONPATH": str(target)}


def test_a_generator_is_chosen_by_its_name(installed: dict[str, str], tmp_path: Path) -> None:
    with Service(tmp_path, **installed, PIXYPROXY_GENERATOR="single-pixel", PIXYPROXY_ANONYMOUS="write") as service:
        assert "generator   single-pixel" in service.announced
        with service.client() as client:
            image = client.post("/image", json={"prompt": "a duck"}).json()
            assert (image["status"], image["generator"], image["width"]) == ("ready", "single-pixel", 1)
            assert client.get(image["content_url"]).content.startswith(b"\x89PNG")


def test_an_installed_generator_counts_as_paid_unless_configured(installed: dict[str, str], tmp_path: Path) -> None:
    with Service(tmp_path, **installed, PIXYPROXY_GENERATOR="single-pixel") as service, service.client() as client:
        assert client.post("/image", json={"prompt": "a duck"}).status_code == 401


def test_a_blob_store_is_chosen_by_its_name(installed: dict[str, str], tmp_path: Path) -> None:
    values = installed | {"PIXYPROXY_BLOB_STORE": "folder", "EXAMPLE_FOLDER": str(tmp_path / "elsewhere")}
    done = pixyproxy(tmp_path, "generate", "a duck", **values)
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "elsewhere").rglob("*.bin"))
    assert not (tmp_path / "images").exists()


def test_repositories_are_chosen_by_their_name(installed: dict[str, str], tmp_path: Path) -> None:
    values = installed | {"PIXYPROXY_REPOSITORY": "forgetful"}
    done = pixyproxy(tmp_path, "migrate", **values)
    expected = "applying 0001_example.sql\n1 scripts applied; the forgetful database is up to date\n"
    assert (done.returncode, done.stdout) == (0, expected), done.stderr
    with Service(tmp_path, **values) as service, service.client() as client:
        assert "repository  forgetful" in service.announced
        image = client.post("/image", json={"prompt": "a duck", "size": "64x64"}).json()
        assert client.get("/image").json()[0]["guid"] == image["guid"]


def test_an_unknown_name_lists_built_in_and_installed_adapters(installed: dict[str, str], tmp_path: Path) -> None:
    done = pixyproxy(tmp_path, "serve", **installed, PIXYPROXY_GENERATOR="papyrus")
    assert (done.returncode, done.stderr) == (
        2,
        "pixyproxy: PIXYPROXY_GENERATOR: 'papyrus' is not known; use one of "
        "fails-in-worker, import-error, openai, single-pixel, sketch, wrong-type\n",
    )


@pytest.mark.parametrize(
    ("setting", "name", "parts"),
    [
        (
            "PIXYPROXY_GENERATOR",
            "import-error",
            ["pixyproxy-example-plugin", "ModuleNotFoundError", "pixyproxy_example_plugin_missing"],
        ),
        ("PIXYPROXY_GENERATOR", "wrong-type", ["pixyproxy-example-plugin", "returned str, not ImageGenerator"]),
        ("PIXYPROXY_BLOB_STORE", "wrong-field", ["returned str as maintenance, not BlobMaintenance"]),
    ],
)
def test_a_broken_plugin_is_one_line_that_names_the_setting(
    installed: dict[str, str], setting: str, name: str, parts: list[str], tmp_path: Path
) -> None:
    done = pixyproxy(tmp_path, "serve", **installed, **{setting: name})
    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert line.startswith(f"pixyproxy: {setting}: {name!r} of the package ")
    for part in parts:
        assert part in line


def test_a_plugin_reports_its_own_wrong_setting(installed: dict[str, str], tmp_path: Path) -> None:
    done = pixyproxy(tmp_path, "serve", **installed, PIXYPROXY_BLOB_STORE="folder")
    expected = "pixyproxy: EXAMPLE_FOLDER: is missing; PIXYPROXY_BLOB_STORE=folder needs it\n"
    assert (done.returncode, done.stderr) == (2, expected)


def test_a_setting_that_is_wrong_only_in_workers_ends_the_start(installed: dict[str, str], tmp_path: Path) -> None:
    values = installed | {"PIXYPROXY_GENERATOR": "fails-in-worker", "PIXYPROXY_LOG_LEVEL": "ERROR"}
    done = pixyproxy(tmp_path, "serve", **values, PIXYPROXY_WORKERS="2")
    assert (done.returncode, done.stderr) == (2, "pixyproxy: EXAMPLE_SETTING: is wrong in a worker\n")
