"""Certificates and proxies that the environment configures."""

import os
import ssl
import sys
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import aiohttp
from yarl import URL

from pixyproxy.domain.errors import GeneratorUnavailableError

PROXY_SCHEMES = ("http", "https")
# Accepted in the environment, but a request that needs one of these fails.
UNUSABLE_PROXY_SCHEMES = ("socks5", "socks5h")

# Certificate files of Linux distributions, for a Python that was built elsewhere and does not look there.
CA_FILES = (
    "/etc/ssl/cert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/cert.pem",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/ca-bundle.pem",
)


def new_ssl_context() -> ssl.SSLContext:
    """Return a context that trusts SSL_CERT_FILE, else SSL_CERT_DIR, else the system's certificates."""
    if file := os.environ.get("SSL_CERT_FILE"):
        return ssl.create_default_context(cafile=file)
    if folder := os.environ.get("SSL_CERT_DIR"):
        return ssl.create_default_context(capath=folder)
    if sys.platform in ("win32", "darwin"):
        import truststore

        return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context = ssl.create_default_context()
    if not context.cert_store_stats()["x509"]:
        for file in filter(os.path.isfile, CA_FILES):
            context.load_verify_locations(file)
            break
    return context


class Proxies:
    """Proxies of the environment: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, and NO_PROXY for exemptions, read once.

    Raises GeneratorUnavailableError for an invalid address.
    """

    def __init__(self) -> None:
        found = getproxies()
        self._exemptions = [entry.strip() for entry in found.get("no", "").split(",") if entry.strip()]
        self._proxies = {
            scheme: _parse_proxy(scheme, found[scheme])
            for scheme in ("http", "https", "all")
            if found.get(scheme) and "*" not in self._exemptions
        }

    def options(self, url: URL) -> dict[str, Any]:
        """Return aiohttp's options for a request to the address.

        Raises aiohttp.InvalidURL if it needs a proxy that is not an HTTP proxy.
        """
        proxy = self._proxies.get(url.scheme) or self._proxies.get("all")
        if proxy is None or any(_exempts(entry, url) for entry in self._exemptions):
            return {}
        if proxy.scheme not in PROXY_SCHEMES:
            raise aiohttp.InvalidURL(f"{proxy.scheme}://", "not an HTTP proxy")
        if not proxy.user and not proxy.password:
            return {"proxy": proxy}
        credentials = aiohttp.encode_basic_auth(proxy.user or "", proxy.password or "", "latin1")
        # aiohttp sends `proxy_headers` with CONNECT only, which a request without TLS does not use.
        where = "proxy_headers" if url.scheme == "https" else "headers"
        return {"proxy": proxy.with_user(None), where: {"Proxy-Authorization": credentials}}


def _parse_proxy(scheme: str, text: str) -> URL:
    try:
        url = URL(text if "://" in text else f"http://{text}")
        aiohttp.encode_basic_auth(url.user or "", url.password or "", "latin1")
        if url.scheme in PROXY_SCHEMES + UNUSABLE_PROXY_SCHEMES and url.host:
            return url
    except ValueError:
        pass  # its message may hold the password
    raise GeneratorUnavailableError(f"{scheme.upper()}_PROXY is not a valid address of a proxy.") from None


def _exempts(entry: str, url: URL) -> bool:
    """Return whether an entry of NO_PROXY covers an address.

    An entry is a domain with its subdomains, `.domain` or `*.domain` for the subdomains only, an IP address, or a
    network such as 10.0.0.0/8; perhaps with a port, or with a scheme before it. Others are ignored, as curl does.
    """
    scheme, _, place = entry.lower().rpartition("://")
    if scheme not in ("", "all", url.scheme):
        return False
    host = (url.host or "").lower()
    if (network := _parse_network(place)) is not None:
        address = _parse_network(host)
        return address is not None and address[0] in network
    try:
        parts = urlsplit(f"//{place}")
        domain, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    given_port = None if url.is_default_port() else url.port
    if "/" in place or port not in (None, given_port):
        return False
    if domain.startswith((".", "*.")):
        return host.endswith(domain.removeprefix("*"))
    is_exact = scheme or domain == "localhost"
    return domain in ("", "*", host) or (not is_exact and host.endswith(f".{domain}"))


def _parse_network(text: str) -> IPv4Network | IPv6Network | None:
    """Parse an IP address or a network, perhaps in brackets; None for anything else."""
    try:
        return ip_network(text if "]:" in text else text.replace("[", "").replace("]", ""), strict=False)
    except ValueError:
        return None
