"""Certificates and proxies that the environment configures."""

import os
import re
import ssl
import sys
from pathlib import Path
from typing import Any, NamedTuple
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
_HASHED = re.compile(r"[0-9a-fA-F]{8}\.\d")


def new_ssl_context() -> ssl.SSLContext:
    """Return a context that trusts SSL_CERT_FILE, else SSL_CERT_DIR, else the system's certificates."""
    if file := os.environ.get("SSL_CERT_FILE"):
        return ssl.create_default_context(cafile=file)
    if folder := os.environ.get("SSL_CERT_DIR"):
        return ssl.create_default_context(capath=folder)
    context: ssl.SSLContext
    if sys.platform in ("win32", "darwin"):
        import truststore

        context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        return context
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    paths = ssl.get_default_verify_paths()
    file = paths.openssl_cafile if Path(paths.openssl_cafile).is_file() else None
    folder = paths.openssl_capath if Path(paths.openssl_capath).is_dir() else None
    if file is None and folder is not None and not any(_HASHED.fullmatch(each.name) for each in Path(folder).iterdir()):
        folder = None
    if file is None and folder is None:
        file = next((each for each in CA_FILES if Path(each).is_file()), None)
    if file or folder:
        context.load_verify_locations(file, folder)
    return context


class Proxy(NamedTuple):
    """Address of a proxy and its `Proxy-Authorization`, if any."""

    url: URL
    credentials: str | None


class Proxies:
    """Proxies of the environment: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, and NO_PROXY for exemptions, read once.

    The rules are those of the SDK's HTTP client, so that generations take the same way as edits; it is imported only
    if there is a proxy. Raises GeneratorUnavailableError for an invalid address.
    """

    def __init__(self) -> None:
        self._rules: list[tuple[Any, Proxy | None]] = []  # the patterns have a private class
        if getproxies().keys() & {"http", "https", "all"}:
            from httpx2._utils import URLPattern, get_environment_proxies

            found = get_environment_proxies()
            self._rules = [(URLPattern(key), _proxy(key, text) if text else None) for key, text in found.items()]
            self._rules.sort(key=lambda rule: rule[0])

    def options(self, url: URL) -> dict[str, Any]:
        """Return aiohttp's options for a request to the address.

        Raises aiohttp.InvalidURL if it needs a proxy that is not an HTTP proxy.
        """
        proxy = self._proxy_for(url) if self._rules else None
        if proxy is None:
            return {}
        if proxy.url.scheme not in PROXY_SCHEMES:
            raise aiohttp.InvalidURL(f"{proxy.url.scheme}://", "not an HTTP proxy")
        if proxy.credentials is None:
            return {"proxy": proxy.url}
        # aiohttp sends `proxy_headers` with CONNECT only, which a request without TLS does not use.
        where = "proxy_headers" if url.scheme == "https" else "headers"
        return {"proxy": proxy.url, where: {"Proxy-Authorization": proxy.credentials}}

    def _proxy_for(self, url: URL) -> Proxy | None:
        import httpx2

        try:
            target = httpx2.URL(scheme=url.scheme, host=url.raw_host or "", port=url.explicit_port)
        except httpx2.InvalidURL as error:
            raise aiohttp.InvalidURL(url.origin(), "a name that cannot be looked up") from error
        return next((proxy for pattern, proxy in self._rules if pattern.matches(target)), None)


def _proxy(key: str, text: str) -> Proxy:
    try:
        url = URL(text)
        credentials = None
        if url.user or url.password:
            credentials = aiohttp.encode_basic_auth(url.user or "", url.password or "", "latin1")
        if url.scheme in PROXY_SCHEMES + UNUSABLE_PROXY_SCHEMES and url.host:
            return Proxy(url.with_user(None), credentials)
    except ValueError:
        pass  # its message may hold the password
    name = key.removesuffix("://").upper()
    raise GeneratorUnavailableError(f"{name}_PROXY is not a valid address of a proxy.") from None
