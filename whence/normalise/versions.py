"""Which rules made a value: one text to keep beside the data."""

from __future__ import annotations

import unicodedata
from importlib.metadata import version

from whence.normalise import (
    addresses,
    agents,
    columns,
    dates,
    destinations,
    devices,
    emails,
    names,
    networks,
    phones,
    placeholders,
    text,
)

RULES = (text, names, addresses, dates, emails, phones, networks, agents, devices, placeholders, columns, destinations)
LIBRARIES = ("idna", "phonenumbers", "ua-parser-builtins")
"""What the rules ask, and whose tables change between releases."""

VERSION = " ".join(rules.VERSION for rules in RULES)
"""The version of every rule set; a value made by another may have another form."""


def stamp() -> str:
    """The rules' versions and those of the tables that they ask: the same stamp, the same output.

    >>> stamp().startswith(VERSION), "unicode-" in stamp()
    (True, True)
    """
    tables = [f"{library}-{version(library)}" for library in LIBRARIES]
    return " ".join((VERSION, f"unicode-{unicodedata.unidata_version}", *tables))
