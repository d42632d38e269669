"""IP addresses: which network, and of which kind."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whence.normalise.networks import KINDS, is_personal, kind, network


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("8.8.8.8", "8.8.8.8"),
        (" 8.8.8.8 ", "8.8.8.8"),
        ("8.8.8.8:443", "8.8.8.8"),
        ("2001:DB8:0:1::7f", "2001:db8:0:1::/64"),
        ("[2001:db8:0:1::7f]:443", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:8.8.8.8", "8.8.8.8"),
        ("2001:db8:0:1::/64", "2001:db8:0:1::/64"),
        ("8.8.8", None),
        ("08.8.8.8", None),
        ("256.1.1.1", None),
        ("localhost", None),
        ("", None),
    ],
)
def test_an_address_names_its_network(text: str, named: str | None) -> None:
    assert network(text) == named


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("81.2.69.142", "public"),
        ("2a00:1450:4009::200e", "public"),
        ("100.64.0.1", "shared"),
        ("100.127.255.254", "shared"),
        ("100.128.0.1", "public"),
        ("10.0.0.1", "private"),
        ("172.31.0.1", "private"),
        ("172.32.0.1", "public"),
        ("192.168.1.1", "private"),
        ("fd12:3456::1", "private"),
        ("127.0.0.1", "loopback"),
        ("::1", "loopback"),
        ("169.254.1.1", "link_local"),
        ("fe80::1", "link_local"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("192.0.2.1", "documentation"),
        ("2001:db8::1", "documentation"),
        ("0.0.0.0", "unspecified"),
        ("::", "unspecified"),
        ("240.0.0.1", "reserved"),
        ("255.255.255.255", "reserved"),
        ("198.18.0.1", "reserved"),
        ("2002::1", "reserved"),
        ("not an address", None),
    ],
)
def test_an_address_is_of_one_kind(text: str, found: str | None) -> None:
    assert kind(text) == found
    assert is_personal(text) == (found in ("public", "shared"))


@settings(max_examples=40, deadline=None)
@given(st.ip_addresses())
def test_every_address_has_a_kind_and_a_network_that_stays(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    assert kind(str(address)) in KINDS
    named = network(str(address))
    assert named is not None
    assert network(named) == named
    if kind(str(address)) == "public" and address.version == 4:
        assert address.is_global


@settings(max_examples=40, deadline=None)
@given(st.text(st.characters(exclude_categories=())) | st.text(st.sampled_from("0123456789abcdef:.[]%/")))
def test_no_text_breaks_a_network(text: str) -> None:
    found = network(text)
    assert found is None or network(found) == found
    kind(text)
