"""Addresses and networks of proxies, in each form in which they are written."""

import pytest

from pixyproxy.named_proxies import NamedProxies, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        (" 192.0.2.1 ", "192.0.2.1"),
        ("192.0.2.1:5000", "192.0.2.1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:5000", "2001:db8::1"),
        ('"[2001:db8::1]:5000"', "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("[::ffff:192.0.2.1]:80", "192.0.2.1"),
        ("unix:", "unix:"),
        ("", None),
        ("unknown", None),
        ("_hidden", None),
        ("example.org", None),
        ("192.0.2.256", None),
        ("192.0.2.1:port", None),
        ("192.0.2", None),
        ("[192.0.2.1", None),
        ("10.0.0.0/8", None),
        ("1" * 5000, None),
        ("٣.٣.٣.٣", None),
    ],
)
def test_addresses_are_read_in_every_usual_form(text: str, address: str | None) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    ("names", "inside", "outside"),
    [
        (["127.0.0.1", "::1"], ["127.0.0.1", "::1"], ["127.0.0.2", "::2", "unix:"]),
        (["10.0.0.0/8"], ["10.0.0.0", "10.255.255.255"], ["11.0.0.0", "::a00:1"]),
        (["10.1.2.3/8"], ["10.0.0.1"], ["11.0.0.0"]),
        (["fd00::/8", "[2001:db8::1]"], ["fd12::1", "2001:db8::1"], ["fe00::1", "2001:db8::2"]),
        (["::ffff:10.0.0.1", "::ffff:192.168.0.0/112"], ["10.0.0.1", "192.168.9.9"], ["10.0.0.2", "192.169.0.1"]),
        (["0.0.0.0/0"], ["1.2.3.4"], ["::1"]),
        (["unix:"], ["unix:"], ["127.0.0.1"]),
        ([], [], ["127.0.0.1", "unix:"]),
    ],
)
def test_networks_contain_their_addresses(names: list[str], inside: list[str], outside: list[str]) -> None:
    proxies = NamedProxies(names)
    assert all(address in proxies for address in inside)
    assert not any(address in proxies for address in outside)


@pytest.mark.parametrize("name", ["*", "nginx", "10.0.0.0/33", "10.0.0", "unix:/run/nginx.sock", "10.0.0.1:80", ""])
def test_what_is_no_network_is_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match="is no address or network, such as") as caught:
        NamedProxies([name])
    assert repr(name) in str(caught.value)
