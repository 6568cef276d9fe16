"""Trusted hosts: their forms, and what is no host. Requests for them are tested over sockets."""

import pytest

from pixyproxy.trusted_hosts import TrustedHosts, parse_host, parse_trusted_host


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("Pictures.Example.Org", "pictures.example.org"),
        ("pictures.example.org.:8001", "pictures.example.org"),
        ("my_service-1:65535", "my_service-1"),
        ("192.0.2.1:80", "192.0.2.1"),
        ("[2001:DB8:0:0::1]:80", "[2001:db8::1]"),
        ("a:", "a"),
        ("a" * 256, None),
        ("[::1]]", None),
        ("a:-1", None),
        ("a:1 ", None),
        ("[]", None),
        (".", None),
    ],
)
def test_the_host_of_a_field_is_without_its_port(text: str, host: str | None) -> None:
    assert parse_host(text) == host


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("Pictures.Example.Org:443", "pictures.example.org"),
        ("*.Example.org", "*.example.org"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("::1", "[::1]"),
        ("[::1]:80", "[::1]"),
    ],
)
def test_a_trusted_host_has_the_form_in_which_hosts_are_compared(text: str, host: str) -> None:
    assert parse_trusted_host(text) == host


@pytest.mark.parametrize(
    "text", ["https://a.example", "a.example/path", "*", "*.", "a.*.example", "a b", "ü" * 64, "@"]
)
def test_what_is_no_host_is_refused_with_what_would_be_right(text: str) -> None:
    with pytest.raises(ValueError, match="leave the setting empty" if text == "*" else r"such as .*no path"):
        parse_trusted_host(text)


def test_an_example_is_one_of_the_trusted_hosts() -> None:
    for names in (["a.example"], ["*.example.org"], ["b.example", "*.example.org"]):
        hosts = TrustedHosts(names)
        example = hosts.example()
        assert example is not None
        assert (parse_host(example) or "") in hosts
        assert "other.invalid" not in hosts
    assert TrustedHosts([]).example() is None
    assert "whatever.example" in TrustedHosts([])
