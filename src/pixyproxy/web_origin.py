"""Web origins (RFC 6454) in the one form in which browsers send them."""

import ipaddress
import re
from urllib.parse import urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_NO_PAGES = frozenset({"data", "file", "ftp", "javascript", "ws", "wss"})
"""Schemes whose pages have no origin of their own, or that have no pages."""


def parse_origin(text: str) -> str:
    """Return an origin with scheme and host in lower case, the host in ASCII, and no default port.

    Raises:
        ValueError: no browser ever sends this as `Origin`; the message says what would be right.
    """
    malformed = ValueError(f"{text!r} has no valid host and port, as https://example.org:8443 has")
    try:
        parts = urlsplit(text.strip())
    except ValueError:
        raise malformed from None
    scheme = parts.scheme.lower()
    if not _SCHEME.fullmatch(scheme) or scheme in _NO_PAGES or not parts.netloc:
        raise ValueError(f"{text!r} is no origin, such as https://example.org or http://localhost:3000")
    if "*" in parts.netloc:
        raise ValueError(f"{text!r} has a wildcard, which is never matched: list each origin, or * alone for all")
    try:
        host, port = _host(parts.hostname or ""), parts.port
    except ValueError:
        raise malformed from None
    origin = f"{scheme}://{host}" + ("" if port in (None, DEFAULT_PORTS.get(scheme)) else f":{port}")
    if parts.username is not None or parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ValueError(f"{text!r} is longer than an origin: {origin} is the origin of that page")
    return origin


def is_own_origin(origin: str, host: str, public_url: str | None) -> bool:
    """Return true if an origin is that of the public URL, or of this host by whatever scheme a proxy offers."""
    try:
        given = parse_origin(origin)
    except ValueError:
        return False
    scheme = given.partition("://")[0]
    for own in (f"{scheme}://{host}", "/".join((public_url or "").split("/")[:3])):
        try:
            if given == parse_origin(own):
                return True
        except ValueError:
            continue
    return False


def _host(host: str) -> str:
    """Return a host name or address as browsers write it; raise ValueError if it is none."""
    if ":" in host:
        return f"[{ipaddress.IPv6Address(host)}]"
    ascii_host = host.encode("idna").decode().lower()
    if not _HOST.fullmatch(ascii_host):
        raise ValueError
    return ascii_host
