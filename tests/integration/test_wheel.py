"""The wheel is built from the checkout, installed elsewhere, and works outside the checkout."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.fixtures.service import environment

ROOT = Path(__file__).parents[2]
PATIENCE_S = 300


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # A copy, so that the checkout stays unchanged and only declared files get into the wheel.
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns("__pycache__"))
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(folder / "dist"),
        str(source),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    [built] = (folder / "dist").iterdir()
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target)]
    done = subprocess.run([*command, str(wheel)], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    return target


def test_it_holds_the_program_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        [entry_points] = [name for name in names if name.endswith("entry_points.txt")]
        assert "pixyproxy = pixyproxy.entrypoints.cli.main:run" in archive.read(entry_points).decode()
    package = ROOT / "src" / "pixyproxy"
    expected = {
        f"pixyproxy/{path.relative_to(package).as_posix()}"
        for path in package.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert {name for name in names if ".dist-info/" not in name} == expected
    for database in ("mysql", "sqlite"):
        assert any(name.startswith(f"pixyproxy/adapters/{database}/scripts/0001_") for name in names)
    assert "pixyproxy/adapters/mysql/scripts/0000_create_database_and_user.sql" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def run(installed: Path, folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pixyproxy", *arguments],
        cwd=folder,
        env=environment(folder) | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_works_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    where = subprocess.run(
        [sys.executable, "-P", "-c", "import pixyproxy; print(pixyproxy.__file__)"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert where.stdout.startswith(str(installed))
    assert "applying 0001_create_tables.sql" in run(installed, tmp_path, "migrate")
    assert "written to duck.png" in run(installed, tmp_path, "generate", "a duck", "-o", "duck.png", "--size", "64x64")
    assert (tmp_path / "duck.png").read_bytes().startswith(b"\x89PNG")
    assert "ok" in run(installed, tmp_path, "check")
