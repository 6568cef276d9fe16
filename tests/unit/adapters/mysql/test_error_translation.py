"""Errors of the driver for MySQL: outages that pass, and refusals that an operator must mend."""

import ssl

import pymysql
import pytest

from pixyproxy.adapters.mysql.error_translation import translate
from pixyproxy.domain.errors import DBConnectionError, DBRefusedError


@pytest.mark.parametrize("code", [1044, 1045, 1049, 1130, 1142, 1698, 2026, 3118, 3159])
def test_a_refusal_does_not_pass_by_itself(code: int) -> None:
    assert type(translate(pymysql.OperationalError(code, "x"))) is DBRefusedError


@pytest.mark.parametrize("code", [1040, 1053, 1205, 1290, 2002, 2003, 2005, 2006, 2013])
def test_an_outage_passes(code: int) -> None:
    assert type(translate(pymysql.OperationalError(code, "x"))) is DBConnectionError


@pytest.mark.parametrize(
    ("original", "kind"),
    [(ssl.SSLCertVerificationError("x"), DBRefusedError), (ssl.SSLEOFError("x"), DBConnectionError)],
)
def test_a_certificate_is_a_refusal_and_a_broken_handshake_an_outage(original: Exception, kind: type) -> None:
    error = pymysql.OperationalError(2003, "x")
    error.original_exception = original  # type: ignore[attr-defined]
    assert type(translate(error)) is kind
