"""The form of `Host` fields (RFC 9110, section 7.2), and the hosts that an operator names."""

import ipaddress
import string
from collections.abc import Iterable

_MAX_CHARS = 255
_MAX_PORT = 65535
_LETTERS = frozenset(string.ascii_lowercase + string.digits + "-_")
_WILDCARD = "*."


def parse_host(text: str) -> str | None:
    """Return the host of a `Host` field without its port, in the form in which hosts are compared.

    That is a name in lower case without a final dot, or an address, one in IPv6 in brackets. None: it is malformed.
    """
    if len(text) > _MAX_CHARS:
        return None
    if text.startswith("["):
        address, bracket, rest = text[1:].partition("]")
        colon, port = rest[:1], rest[1:]
        try:
            # The name of an interface behind `%` means something on one machine only.
            host = f"[{ipaddress.IPv6Address(address)}]" if bracket and "%" not in address else ""
        except ValueError:
            return None
    else:
        name, colon, port = text.partition(":")
        host = name.lower().removesuffix(".")
        if not all(label and _LETTERS.issuperset(label) for label in host.split(".")):
            return None
    is_port = not port or (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= _MAX_PORT)
    return host if host and colon in {"", ":"} and is_port else None


def parse_trusted_host(text: str) -> str:
    """Return the element of a list of trusted hosts as `parse_host` has it, perhaps with a wildcard in front.

    Raises:
        ValueError: it is no host; the message says what would be right.
    """
    if text == "*":
        raise ValueError("'*' is every host: leave the setting empty to answer them all")
    name = text.removeprefix(_WILDCARD)
    try:
        name = f"[{ipaddress.IPv6Address(name)}]"
    except ValueError:
        try:
            name = name.encode("idna").decode()
        except UnicodeError:
            name = ""
    host = parse_host(name)
    if host is None:
        raise ValueError(
            f"{text!r} is no host, such as pictures.example.org, *.example.org, 192.0.2.1 or [2001:db8::1]; "
            "it has no scheme and no path"
        )
    return f"{_WILDCARD}{host}" if text.startswith(_WILDCARD) else host


def parse_server_host(text: str) -> str:
    """Return a host to connect to or to listen on: a name or an address, one in IPv6 without brackets.

    Raises:
        ValueError: it is more than a host; the message says what would be right.
    """
    address = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        ipaddress.ip_address(address)
    except ValueError:
        if "/" in text:
            message = f"{text!r} is no host, such as db.example.org, 192.0.2.1 or ::1; it has no scheme and no path"
            raise ValueError(message) from None
        if ":" in text:
            raise ValueError(f"{text!r} is more than a host: the port is a setting of its own") from None
        return text
    return address


class TrustedHosts:
    """A set of hosts: names and addresses, and with a wildcard all names below one."""

    def __init__(self, names: Iterable[str]) -> None:
        """Take hosts as `parse_trusted_host` returns them; none at all means every host."""
        self._names = frozenset(names)
        self._endings = tuple(name.removeprefix("*") for name in self._names if name.startswith(_WILDCARD))

    def __contains__(self, host: str) -> bool:
        """Return true for a host, as `parse_host` returns it, that is trusted."""
        return not self._names or host in self._names or host.endswith(self._endings)

    def example(self) -> str | None:
        """Return a host that is trusted, None if every one is."""
        return min(self._names).replace("*", "pixyproxy") if self._names else None
