"""What the environment says of the network: which certificates are trusted, and which proxies lead out."""

import ipaddress
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
# No request goes through these; one that nothing is sent by does no harm.
IDLE_PROXY_SCHEMES = ("socks5", "socks5h")

# Where distributions keep their certificates, for a Python that was built elsewhere and looks in no such place.
CA_FILES = (
    "/etc/ssl/cert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/cert.pem",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/ca-bundle.pem",
)
_HASHED = re.compile(r"[0-9a-fA-F]{8}\.\d")


def new_ssl_context() -> ssl.SSLContext:
    """A context that trusts SSL_CERT_FILE, or else SSL_CERT_DIR, and the system's certificates if neither is set."""
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
    """Where a proxy is, and the `Proxy-Authorization` it wants."""

    url: URL
    credentials: str | None


class Proxies:
    """The proxies of the environment: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, and NO_PROXY for what goes without.

    They are read once. NO_PROXY means what it means to the SDK's own client, so that edits go the way generations go.
    Raises GeneratorUnavailableError for what is no address of a proxy.
    """

    def __init__(self) -> None:
        named = getproxies()
        exceptions = [entry.strip() for entry in named.get("no", "").split(",")]
        self._proxies: dict[str, Proxy] = {}
        if "*" not in exceptions:
            self._proxies = {scheme: _proxy(scheme, named[scheme]) for scheme in ("http", "https", "all")
                             if named.get(scheme)}  # fmt: skip
        self._direct = [direct for entry in exceptions if entry and (direct := _direct(entry)) is not None]

    def options(self, url: URL) -> dict[str, Any]:
        """The options of aiohttp with which a request reaches the address.

        Raises aiohttp's InvalidURL where that would be a proxy that does not speak HTTP.
        """
        if not self._proxies:
            return {}
        proxy = self._proxies.get(url.scheme) or self._proxies.get("all")
        if proxy is None or any(direct.holds(url) for direct in self._direct):
            return {}
        if proxy.url.scheme not in PROXY_SCHEMES:
            raise aiohttp.InvalidURL(f"{proxy.url.scheme}://", "a proxy that is none for HTTP")
        if proxy.credentials is None:
            return {"proxy": proxy.url}
        # aiohttp sends the headers of a proxy with CONNECT only, which a request without TLS does not need.
        where = "proxy_headers" if url.scheme == "https" else "headers"
        return {"proxy": proxy.url, where: {"Proxy-Authorization": proxy.credentials}}


class Direct(NamedTuple):
    """An entry of NO_PROXY: a network, or a scheme (`all` is any), hosts and a port (None is any)."""

    scheme: str
    hosts: re.Pattern[str]
    port: int | None
    network: ipaddress.IPv4Network | ipaddress.IPv6Network | None = None

    def holds(self, url: URL) -> bool:
        """Whether the address is reached without a proxy."""
        host = url.host or ""
        if self.scheme not in ("all", url.scheme):
            return False
        if self.network is not None:
            try:
                return ipaddress.ip_address(host) in self.network
            except ValueError:
                return False
        # Where the port is the scheme's own, an entry with a port does not hold: so it is in the SDK's client.
        port = None if url.is_default_port() else url.port
        return self.port in (None, port) and bool(
            self.hosts.fullmatch(host) or self.hosts.fullmatch(url.raw_host or "")
        )


_ANY = re.compile("")
_BRACKETS = re.compile(r"\[([^]]*)\](/\d+)?")
_HOST = re.compile(r"(\[[^]]*\]|[^:/[\]]*)(?::(\d+))?")


def _proxy(scheme: str, text: str) -> Proxy:
    try:
        url = URL(text if "://" in text else f"http://{text}")
        credentials = None
        if url.user or url.password:
            credentials = aiohttp.encode_basic_auth(url.user or "", url.password or "", "latin1")
        if url.scheme in PROXY_SCHEMES + IDLE_PROXY_SCHEMES and url.host:
            return Proxy(url.with_user(None), credentials)
    except ValueError:
        pass  # its words may hold the password
    raise GeneratorUnavailableError(f"{scheme.upper()}_PROXY is not the address of a proxy.") from None


def _direct(entry: str) -> Direct | None:
    """The entry, or None if it cannot be read: such a one is passed over."""
    scheme, _, rest = entry.lower().rpartition("://")
    rest = rest.rstrip("/")
    bracketed = _BRACKETS.fullmatch(rest)
    try:
        network = ipaddress.ip_network(bracketed.expand(r"\1\2") if bracketed else rest, strict=False)
        return Direct(scheme or "all", _ANY, None, network)
    except ValueError:
        found = _HOST.fullmatch(rest)
    if found is None:
        return None
    host, port = found[1].strip("[]"), found[2]
    if not scheme and host != "localhost" and not found[1].startswith(("*.", "[")):
        host = f"*{host}"  # a domain holds for all below it, and one that begins with a dot for these alone
    if host in ("", "*"):
        hosts = ".*"
    elif host.startswith("*."):
        hosts = rf".+\.{re.escape(host[2:])}"
    elif host.startswith("*"):
        hosts = rf"(.+\.)?{re.escape(host[1:])}"
    else:
        hosts = re.escape(host)
    return Direct(scheme or "all", re.compile(hosts), int(port) if port else None)
