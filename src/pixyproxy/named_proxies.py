"""The proxies in front of the service that an operator names, by address or network."""

import ipaddress
import re
from collections.abc import Iterable
from typing import TypeAlias

_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

UNIX = "unix:"
"""The name of a peer on a Unix socket, as nginx writes it."""
_WITH_PORT = re.compile(r"\[(?P<v6>[^\[\]]*)\](:\d{1,5})?|(?P<v4>[0-9.]+):\d{1,5}")


def parse_address(text: str) -> str | None:
    """Return an address as it is written canonically, without port and zone; None if the text is no address.

    An IPv4 address in an IPv6 one, as sockets for both have it, is that IPv4 address.
    """
    text = text.strip().strip('"')
    if text == UNIX:
        return UNIX
    if found := _WITH_PORT.fullmatch(text):
        text = found["v6"] or found["v4"] or ""
    try:
        return str(_unmapped(ipaddress.ip_address(text.partition("%")[0])))
    except ValueError:
        return None


class NamedProxies:
    """A set of addresses and networks."""

    def __init__(self, names: Iterable[str]) -> None:
        """Take addresses and networks, and `unix:` for peers on a Unix socket.

        Raises:
            ValueError: one of them is something else.
        """
        self._networks: list[_Network] = []
        self._has_unix = False
        for name in names:
            if name == UNIX:
                self._has_unix = True
                continue
            try:
                network = ipaddress.ip_network(name.strip("[]"), strict=False)
            except ValueError:
                raise ValueError(
                    f"{name!r} is no address or network, such as 10.0.0.5, 10.0.0.0/8 or fd00::/8; "
                    "0.0.0.0/0 and ::/0 are all there are"
                ) from None
            if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped is not None:
                mapped = network.network_address.ipv4_mapped
                network = ipaddress.ip_network(f"{mapped}/{max(0, network.prefixlen - 96)}", strict=False)
            self._networks.append(network)

    def __contains__(self, address: str) -> bool:
        """Return true for an address, as `parse_address` returns it, that is named."""
        if address == UNIX:
            return self._has_unix
        parsed = ipaddress.ip_address(address)
        return any(parsed in network for network in self._networks)


def _unmapped(address: _Address) -> _Address:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
