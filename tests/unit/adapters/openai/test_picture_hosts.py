"""Hosts of pictures, and the addresses of the public internet."""

import httpx2
import pytest

from pixyproxy.adapters.openai.picture_hosts import PictureHost, find_host, is_public


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8", "1.1.1.1", "172.15.0.1", "172.32.0.1", "100.63.255.255", "100.128.0.0", "2606:4700:4700::1111",
        "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1",
    ],
)  # fmt: skip
def test_public_addresses(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        # this machine, private networks, link-local (with the metadata of clouds), CGNAT, benchmarks, documentation
        "127.0.0.1", "127.9.9.9", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
        "169.254.169.254", "100.64.0.1", "100.127.255.255", "198.18.0.1", "192.0.2.1", "198.51.100.1", "203.0.113.1",
        # multicast, reserved, broadcast
        "224.0.0.1", "239.255.255.250", "233.252.0.1", "240.0.0.1", "255.255.255.255",
        # the same in IPv6
        "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12:3456::1", "ff02::1", "ff0e::1", "2001:db8::1",
        "fec0::1",
        # IPv4 within IPv6: mapped, compatible, NAT64 (also a network's own), 6to4, Teredo
        "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.0.0.1", "::ffff:224.0.0.1", "::127.0.0.1",
        "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2002:a9fe:a9fe::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        # no address
        "", "localhost", "8.8.8", "0x7f000001", "2130706433", "127.1", "[::1]", "999.1.1.1",
    ],
)  # fmt: skip
def test_other_addresses(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    ("entry", "covered", "other"),
    [
        ("cdn.example.org", ["http://cdn.example.org/x", "https://CDN.example.org:8443/x"],
         ["http://example.org", "http://a.cdn.example.org", "http://cdn.example.org.evil.org", "http://cdn-example.org"]),
        ("*.example.org", ["https://a.example.org", "https://a.b.example.org"],
         ["https://example.org", "https://example.org.evil.org", "https://evilexample.org"]),
        ("cdn.example.org:8443", ["https://cdn.example.org:8443/"], ["https://cdn.example.org/", "http://cdn.example.org:80"]),
        ("cdn.example.org:443", ["https://cdn.example.org/"], ["http://cdn.example.org/"]),
        ("*.example.org:80", ["http://a.example.org"], ["https://a.example.org"]),
        ("LocalHost", ["http://localhost:9"], ["http://x.localhost"]),
        ("10.1.2.3", ["http://10.1.2.3:1"], ["http://10.1.2.4"]),
        ("[::1]:80", ["http://[::1]/"], ["http://[::1]:81/"]),
        ("[::1]", ["http://[::1]:81/"], ["http://[::2]/"]),
        ("cdn.example.org", ["https://cdn.example.org./x"], ["https://cdn.example.org..evil.org/"]),
        ("cdn.example.org.", ["https://cdn.example.org/x"], []),
        ("*.example.org", ["https://a.example.org./"], ["https://example.org./"]),
        ("münchen.example", ["http://xn--mnchen-3ya.example/"], ["http://munchen.example/"]),
    ],
)  # fmt: skip
def test_an_entry_covers_addresses(entry: str, covered: list[str], other: list[str]) -> None:
    host = PictureHost.parse(entry)
    assert [address for address in covered if not host.covers(httpx2.URL(address))] == []
    assert [address for address in other if host.covers(httpx2.URL(address))] == []


@pytest.mark.parametrize(
    "entry",
    ["", "*.", "*.*.org", "a*.org", "http://cdn.example.org", "cdn.example.org/x", "user@cdn.example.org", "x?y",
     "cdn.example.org:port", "cdn.example.org:99999", "a b", "[::1", "a%20b",
     "a.example;b.example", ".example.org", "a..b"],
)  # fmt: skip
def test_other_entries_are_refused(entry: str) -> None:
    with pytest.raises(ValueError):
        PictureHost.parse(entry)


def test_a_named_host_comes_before_a_wildcard() -> None:
    named, wildcard = PictureHost("a.example.org"), PictureHost("*.example.org")
    assert find_host((wildcard, named), httpx2.URL("http://a.example.org")) == named
    assert find_host((wildcard, named), httpx2.URL("http://b.example.org")) == wildcard
    assert find_host((wildcard, named), httpx2.URL("http://example.org")) is None
