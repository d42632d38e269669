"""IP addresses: what of one names a network, and which kind of network it is."""

from __future__ import annotations

import ipaddress
import re

VERSION = "networks-1"

PLAIN = re.compile(r"(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}", re.ASCII)
"""A v4 address in its usual form."""

KINDS = ("public", "shared", "private", "loopback", "link_local", "multicast", "documentation", "unspecified", "reserved")
"""What an address can be. `shared` is carrier-grade NAT (RFC 6598): many households behind one address."""
SHARED = ipaddress.ip_network("100.64.0.0/10")
PRIVATE = tuple(ipaddress.ip_network(each) for each in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"))
DOCUMENTATION = tuple(
    ipaddress.ip_network(each)
    for each in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20")
)  # fmt: skip
RESERVED = tuple(
    ipaddress.ip_network(each)
    for each in (
        "0.0.0.0/8", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "240.0.0.0/4",
        "100::/64", "2001::/23", "2002::/16", "5f00::/16", "fec0::/10",
    )
)  # fmt: skip
"""Set aside by the IANA registries of special addresses, or wrapped in another protocol: nobody's home."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def network(text: str) -> str | None:
    """What of an IP address names a network: all of a v4 address, the /64 of a v6 one; nothing when it is none. Idempotent.

    >>> network("2001:db8::7f"), network("10.1.2.3"), network("::ffff:10.1.2.3"), network("localhost")
    ('2001:db8::/64', '10.1.2.3', '10.1.2.3', None)
    """
    if PLAIN.fullmatch(text):
        return text
    address = read(text)
    if address is None:
        return None
    return str(address) if address.version == 4 else str(ipaddress.ip_network((address, 64), strict=False))


def kind(text: str) -> str | None:
    """One of KINDS; nothing when the text is no address.

    >>> kind("8.8.8.8"), kind("100.64.1.1"), kind("192.168.0.1"), kind("fe80::1%eth0"), kind("224.0.0.1")
    ('public', 'shared', 'private', 'link_local', 'multicast')
    """
    address = read(text)
    return None if address is None else _kind(address)


def is_personal(text: str) -> bool:
    """Whether an address can be somebody's connection: public, or a carrier's.

    >>> is_personal("8.8.8.8"), is_personal("192.168.0.1"), is_personal("::")
    (True, False, False)
    """
    return kind(text) in ("public", "shared")


def read(text: str) -> Address | None:
    """The address in a text; v4 in v6 clothes is v4, and a zone, a port or a /64 behind it is left out."""
    plain = text.strip()
    if plain.startswith("[") and "]" in plain:
        plain = plain[1 : plain.index("]")]
    elif plain.count(":") == 1 and "." in plain:
        plain = plain.partition(":")[0]
    try:
        address = ipaddress.ip_address(plain.removesuffix("/64").removesuffix("/32").partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


def _kind(address: Address) -> str:
    if address.is_unspecified:
        return "unspecified"
    if address.is_loopback:
        return "loopback"
    if address.is_link_local:
        return "link_local"
    if address.is_multicast:
        return "multicast"
    if _within(address, (SHARED,)):
        return "shared"
    if _within(address, PRIVATE):
        return "private"
    if _within(address, DOCUMENTATION):
        return "documentation"
    return "reserved" if _within(address, RESERVED) else "public"


def _within(address: Address, networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]) -> bool:
    return any(address.version == each.version and address in each for each in networks)
