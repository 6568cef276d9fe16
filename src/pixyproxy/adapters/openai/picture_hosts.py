"""Hosts from which pictures may be downloaded, and the network addresses at which they may be."""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

import httpx2

_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOLDING_IPV4 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("::/96"))
"""Networks of IPv6 whose last 32 bits are an IPv4 address: NAT64 (RFC 6052) and the old "compatible" ones."""
_LOCAL = (ipaddress.ip_network("64:ff9b:1::/48"), ipaddress.ip_network("fec0::/10"))
"""Networks that lead to private addresses, though they are listed as global: local NAT64 (RFC 8215), site-local."""
_HOST = re.compile(r"[\w:-]+(\.[\w:-]+)*\.?")


@dataclass(frozen=True, slots=True)
class PictureHost:
    """An entry of OPENAI_PICTURE_HOSTS: a name, `*.` and a domain for the names below it, or `*`; perhaps a port."""

    name: str
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> "PictureHost":
        """Parse `cdn.example.org`, `*.example.org:8443`, `[2001:db8::1]:80` or `*`; raise ValueError otherwise."""
        if text == "*":
            return cls(text)
        wildcard, rest = text.startswith("*."), text.removeprefix("*.")
        try:
            # Of no scheme, so that no port is left out as the default one.
            url = httpx2.URL(f"any://{rest}")
        except httpx2.InvalidURL:
            url = httpx2.URL("")
        is_host = _HOST.fullmatch(url.host) and (url.port or 0) < 65536
        if set(rest) & set("/?#@") or not is_host:
            raise ValueError(f"{text!r} is no host such as cdn.example.org, or *.example.org:8443 for those below it")
        host = host_of(url)
        return cls(f"*.{host}" if wildcard else host, url.port)

    @property
    def is_wildcard(self) -> bool:
        """True if it stands for many names."""
        return self.name.startswith("*")

    def covers(self, url: httpx2.URL) -> bool:
        """Return whether an address is on this host."""
        if self.port not in (None, port_of(url)):
            return False
        host = host_of(url)
        return host == self.name or (self.is_wildcard and host.endswith(self.name[1:]))


def host_of(url: httpx2.URL) -> str:
    """Return the host of an address without the dot that may end a complete name."""
    return url.host.removesuffix(".")


def port_of(url: httpx2.URL) -> int | None:
    """Return the port of an address, with the default of its scheme filled in."""
    return url.port or _DEFAULT_PORTS.get(url.scheme)


def find_host(hosts: Iterable[PictureHost], url: httpx2.URL) -> PictureHost | None:
    """Return the entry that covers an address, one that names the host before a wildcard."""
    return min((host for host in hosts if host.covers(url)), key=lambda host: host.is_wildcard, default=None)


def is_public(address: str) -> bool:
    """Return whether an IP address is one of the public internet, also as the IPv4 address that an IPv6 one holds."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and any(ip in network for network in _HOLDING_IPV4):
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
        if any(ip in network for network in _LOCAL):
            return False
    return ip.is_global and not ip.is_multicast
