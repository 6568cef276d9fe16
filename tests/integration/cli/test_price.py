"""`pixyproxy price`, and the start with a file of prices."""

from pathlib import Path

import pytest

from tests.fixtures.service import pixyproxy


def test_a_price_needs_no_database_and_no_key(tmp_path: Path) -> None:
    done = pixyproxy(tmp_path, "price", "gpt-image-2", "--size", "3840x2160", "--quality", "high", "--n", "2")
    assert (done.returncode, done.stderr) == (0, "")
    rows = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert (rows["model"], rows["size"], rows["quality"], rows["pictures"]) == ("gpt-image-2", "3840x2160", "high", "2")
    assert rows["at"] == "most   0.805160 USD"  # twice 13,342 * 30 + (400 + 64) * 5 micro-dollars
    assert rows["source"].startswith("genai-prices ")
    assert [path.name for path in tmp_path.iterdir()] == []


def test_an_unpriced_model_is_said_to_be_so_with_a_remedy_that_works(tmp_path: Path) -> None:
    done = pixyproxy(tmp_path, "price", "dall-e-9")
    assert done.returncode == 0
    assert "unpriced" in done.stdout
    assert "PIXYPROXY_PRICES" in done.stdout
    entry = "".join(line.strip() + "\n" for line in done.stdout.splitlines() if line.startswith("  "))
    (tmp_path / "prices.toml").write_text(entry)
    done = pixyproxy(tmp_path, "price", "dall-e-9", PIXYPROXY_PRICES=str(tmp_path / "prices.toml"))
    assert "at most   0.040000 USD" in done.stdout


def test_the_sketch_is_free(tmp_path: Path) -> None:
    done = pixyproxy(tmp_path, "price", "sketch")
    assert "at most   0.000000 USD" in done.stdout


@pytest.mark.parametrize("command", [["serve", "--port", "0"], ["price", "gpt-image-2"], ["check"]])
@pytest.mark.parametrize("generator", ["sketch", "openai"])
def test_a_mistake_in_the_file_stops_the_start(command: list[str], generator: str, tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text('[[prices]]\nmodel = "x"\nfree = 1\n')
    done = pixyproxy(
        tmp_path, *command, PIXYPROXY_PRICES=str(path), PIXYPROXY_GENERATOR=generator, OPENAI_API_KEY="sk-test"
    )
    assert done.returncode == (1 if command == ["check"] else 2), done.stderr
    [line] = [line for line in (done.stdout + done.stderr).splitlines() if "PIXYPROXY_PRICES" in line]
    assert f"PIXYPROXY_PRICES: {path}: entry 1 (model 'x'): free must be true" in line
