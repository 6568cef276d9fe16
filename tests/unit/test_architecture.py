"""The hexagon: what the core may import, and that every error has a status."""

import sys

import grimp
import pytest

from pixyproxy.domain import errors
from pixyproxy.entrypoints.http.representation.problems import STATUS_OF


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("pixyproxy", include_external_packages=True, cache_dir=None)


@pytest.mark.parametrize(
    ("layer", "also"),
    [
        ("domain", set()),
        ("ports", {"pixyproxy.domain", "pixyproxy.ports"}),
        ("application", {"pixyproxy.domain", "pixyproxy.ports", "pixyproxy.application", "pydantic", "cryptography"}),
    ],
)
def test_the_core_imports_only_what_is_allowed(graph: grimp.ImportGraph, layer: str, also: set[str]) -> None:
    package = f"pixyproxy.{layer}"
    modules = {package} | graph.find_descendants(package)
    assert len(modules) > 2
    for module in modules:
        for imported in graph.find_modules_directly_imported_by(module):
            root = imported.split(".")[0]
            allowed = root in sys.stdlib_module_names or any(
                imported == name or imported.startswith(f"{name}.") for name in {package, *also}
            )
            assert allowed, f"{module} imports {imported}"


def test_only_the_container_names_adapters(graph: grimp.ImportGraph) -> None:
    for module in {"pixyproxy.entrypoints"} | graph.find_descendants("pixyproxy.entrypoints"):
        assert not [m for m in graph.find_modules_directly_imported_by(module) if m.startswith("pixyproxy.adapters")]


def test_every_error_has_a_status_and_a_code_of_its_own_or_its_parents() -> None:
    def tree(kind: type[errors.PixyProxyException]) -> set[type[errors.PixyProxyException]]:
        return {kind}.union(*(tree(child) for child in kind.__subclasses__()))

    kinds = {kind for kind in tree(errors.PixyProxyException) if kind.__module__ == "pixyproxy.domain.errors"}
    assert kinds == set(STATUS_OF)
    assert all(kind.code for kind in kinds)
