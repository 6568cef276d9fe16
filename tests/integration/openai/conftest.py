"""Clients of a fake upstream, which speaks no TLS."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def without_certificates_of_the_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let clients find an empty folder: to read the system's certificates takes longer than most of these tests."""
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
