"""Proxies and certificates of the environment; generations take the same way as edits."""

import base64
import ssl

import aiohttp
import httpx2
import pytest
from yarl import URL

from pixyproxy.adapters.openai import network
from pixyproxy.adapters.openai.network import Proxies, new_ssl_context
from pixyproxy.adapters.openai.sdk import SmallBufferClient
from pixyproxy.domain.errors import GeneratorUnavailableError

VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ssl_cert_file", "ssl_cert_dir")


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def proxy_for(address: str) -> str | None:
    proxy = Proxies().options(URL(address)).get("proxy")
    return None if proxy is None else str(proxy).rstrip("/")


def proxy_of_edits(address: str) -> str | None:
    transport = SmallBufferClient()._transport_for_url(httpx2.URL(address))
    proxy = getattr(transport, "proxy", None)
    return None if proxy is None else str(proxy.url).rstrip("/")


@pytest.mark.parametrize(
    ("variables", "address", "expected"),
    [
        ({}, "http://example.com", None),
        ({"HTTP_PROXY": "http://p:1"}, "http://example.com", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1"}, "https://example.com", None),
        ({"HTTPS_PROXY": "p:1"}, "https://example.com", "http://p:1"),
        ({"https_proxy": "https://p:1"}, "https://example.com", "https://p:1"),
        ({"https_proxy": "http://low:1", "HTTPS_PROXY": "http://up:1"}, "https://example.com", "http://low:1"),
        ({"ALL_PROXY": "http://all:1"}, "https://example.com", "http://all:1"),
        ({"ALL_PROXY": "http://all:1", "HTTPS_PROXY": "http://p:1"}, "https://example.com", "http://p:1"),
        ({"ALL_PROXY": "http://all:1", "HTTPS_PROXY": "http://p:1"}, "http://example.com", "http://all:1"),
        ({"ALL_PROXY": "socks5://all:1", "HTTPS_PROXY": "http://p:1"}, "https://example.com", "http://p:1"),
        ({"HTTPS_PROXY": ""}, "https://example.com", None),
    ],
)
def test_the_environment_names_the_proxy(
    variables: dict[str, str], address: str, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert proxy_for(address) == proxy_of_edits(address) == expected


@pytest.mark.parametrize(
    ("no_proxy", "direct", "proxied"),
    [
        ("*", ["http://example.com", "http://10.0.0.1"], []),
        ("other, *", ["http://example.com"], []),
        ("", [], ["http://example.com"]),
        ("example.com", ["http://example.com", "https://a.b.example.com:8443/x"], ["http://wwwexample.com"]),
        ("Example.COM", ["http://EXAMPLE.com"], []),
        (".example.com", ["http://www.example.com"], ["http://example.com"]),
        ("*.example.com", ["http://www.example.com"], ["http://example.com"]),
        ("*example.com", [], ["http://example.com"]),
        ("a.com,example.com", ["http://example.com", "http://a.com"], ["http://b.com"]),
        ("example.com:8443", ["https://www.example.com:8443"], ["https://example.com", "https://example.com:9"]),
        ("example.com:443", [], ["https://example.com", "https://example.com:443"]),
        ("localhost", ["http://localhost:9"], ["http://x.localhost"]),
        ("10.1.2.3", ["http://10.1.2.3:8000"], ["http://10.1.2.4"]),
        ("10.0.0.0/8", ["http://10.1.2.3"], ["http://11.1.2.3", "http://example.com"]),
        ("127.0.0.1:81", ["http://127.0.0.1:81"], ["http://127.0.0.1"]),
        ("::1", ["http://[::1]:8000"], ["http://[::2]"]),
        ("[::1]", ["http://[::1]:8000"], ["http://[::2]"]),
        ("[::1]:8000", ["http://[::1]:8000"], ["http://[::1]"]),
        ("fe80::/10", ["http://[fe80::1]"], ["http://[::1]"]),
        ("[fe80::]/10", ["http://[fe80::1]"], ["http://[::1]"]),
        ("http://example.com", ["http://example.com"], ["https://example.com", "http://www.example.com"]),
        ("all://*.example.com", ["https://www.example.com"], ["https://example.com"]),
        ("http://10.0.0.0/8", ["http://10.1.2.3"], ["https://10.1.2.3"]),
        ("https://", ["https://example.com"], ["http://example.com"]),
        ("example.com/x,a:b:c,10.0.0.0/99,[", [], ["http://example.com", "http://10.0.0.1"]),
    ],
)
def test_no_proxy_exempts_addresses(
    no_proxy: str, direct: list[str], proxied: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://p:1")
    monkeypatch.setenv("HTTPS_PROXY", "http://p:1")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    for address in direct:
        assert proxy_for(address) is proxy_of_edits(address) is None
    for address in proxied:
        assert proxy_for(address) == proxy_of_edits(address) == "http://p:1"


@pytest.mark.parametrize(("address", "where"), [("http://a", "headers"), ("https://a", "proxy_headers")])
def test_credentials_of_a_proxy_are_sent_to_it_only(address: str, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://user:p%40ss@p:1")
    options = Proxies().options(URL(address))
    words = base64.b64encode(b"user:p@ss").decode()
    assert options == {"proxy": URL("http://p:1"), where: {"Proxy-Authorization": f"Basic {words}"}}


@pytest.mark.parametrize("proxy", ["ftp://user:hush@p:1", "http://", "http://user:hush@p:x", "http://a%3Ab:hush@p"])
def test_an_invalid_proxy_is_refused_without_its_password(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(GeneratorUnavailableError, match="HTTPS_PROXY") as caught:
        Proxies()
    assert "hush" not in caught.value.message


def test_a_request_that_needs_a_socks_proxy_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://user:hush@p:1")
    with pytest.raises(aiohttp.InvalidURL) as caught:
        Proxies().options(URL("http://a"))
    assert "hush" not in str(caught.value)


NOWHERE = "/nowhere/at/all"


def test_only_the_certificates_of_the_environment_are_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    system = new_ssl_context()
    assert system.verify_mode == ssl.CERT_REQUIRED
    assert system.check_hostname
    monkeypatch.setenv("SSL_CERT_DIR", NOWHERE)
    assert new_ssl_context().cert_store_stats()["x509"] == 0
    monkeypatch.setenv("SSL_CERT_FILE", NOWHERE)
    with pytest.raises(FileNotFoundError):
        new_ssl_context()


def test_certificates_of_linux_distributions_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", lambda *_: None)
    monkeypatch.setattr(network, "CA_FILES", (NOWHERE,))
    assert new_ssl_context().cert_store_stats()["x509"] == 0
    monkeypatch.setattr(network, "CA_FILES", (NOWHERE, __file__))
    with pytest.raises(ssl.SSLError):
        new_ssl_context()
