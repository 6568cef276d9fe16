"""Web origins as browsers send them."""

import pytest

from pixyproxy.web_origin import parse_origin


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://App.Example:443/", "https://app.example"),
        ("HTTP://app.example:80", "http://app.example"),
        ("http://app.example:443", "http://app.example:443"),
        (" https://app.example:8443 ", "https://app.example:8443"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("https://München.example", "https://xn--mnchen-3ya.example"),
        ("http://[0:0::1]:80", "http://[::1]"),
        ("capacitor://localhost", "capacitor://localhost"),
    ],
)
def test_an_origin_has_one_form(text: str, origin: str) -> None:
    assert parse_origin(text) == parse_origin(origin) == origin


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("https://App.Example:443/path", "https://app.example is the origin"),
        ("https://app.example/?x", "https://app.example is the origin"),
        ("https://app.example/#x", "https://app.example is the origin"),
        ("https://user@app.example", "https://app.example is the origin"),
        ("https://*.app.example", "wildcard"),
        ("null", "is no origin"),
        ("app.example", "is no origin"),
        ("localhost:3000", "is no origin"),
        ("//app.example", "is no origin"),
        ("https://", "is no origin"),
        ("file:///home", "is no origin"),
        ("ws://app.example", "is no origin"),
        ('["https://app.example"]', "is no origin"),
        ("https://app.example:70000", "valid host and port"),
        ("https://app.example https://b.example", "valid host and port"),
        ("https://[app.example", "valid host and port"),
        ("https://app..example", "valid host and port"),
    ],
)
def test_an_origin_that_never_matches_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_origin(text)
