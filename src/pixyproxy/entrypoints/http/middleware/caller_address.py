"""The address by which a caller is counted."""

import ipaddress

from starlette.types import Scope

from pixyproxy.named_proxies import UNIX, parse_address

_PREFIX = 64
"""Bits that the addresses of one IPv6 network have in common: a single host may use all of them."""


def caller_address(scope: Scope) -> str:
    """Return the IPv4 address, the IPv6 network or the name of the peer of a request."""
    host = (scope.get("client") or (UNIX,))[0]
    address = parse_address(host)
    if address is None or ":" not in address or address == UNIX:
        return address or host
    return str(ipaddress.ip_network((address, _PREFIX), strict=False))
