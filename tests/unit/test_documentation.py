"""Documents: widths of lines, and paths that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")])
PACKAGE = ROOT / "src" / "pixyproxy"
MODULE = re.compile(r"`((?:adapters|application|domain|entrypoints|ports)/[\w/]+\.py)`")
PATH = re.compile(r"`((?:tests|docs|deploy|benchmarks|requirements|src)/[\w./-]+)`|\]\((?!https?:|#)([^)#]+)")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_lines_end_at_100_characters_outside_of_tables_and_code(document: Path) -> None:
    in_code, long = False, []
    for number, line in enumerate(document.read_text().splitlines(), 1):
        in_code ^= line.lstrip().startswith("```")
        if len(line) > 100 and " " in line.strip() and not in_code and not line.startswith("|"):
            long.append(number)
    assert not long


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_paths_in_documents_exist(document: Path) -> None:
    found = [ROOT / code if code else document.parent / link for code, link in PATH.findall(document.read_text())]
    found += [PACKAGE / module for module in MODULE.findall(document.read_text())]
    assert [name_of(path.resolve()) for path in found if not path.exists() and path.name != "node_modules"] == []
