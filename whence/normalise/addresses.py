"""Postal addresses in one form: the usual short words, the house number, the postcode without gaps."""

from __future__ import annotations

import re

from whence.normalise.text import compact, words

VERSION = "addresses-1"

SHORT = {
    long: short
    for short, longs in {
        "st": "street str saint sainte strasse", "rd": "road", "ave": "avenue av aven avenida avda", "dr": "drive drv",
        "blvd": "boulevard boul bvd bd", "ln": "lane", "ct": "court crt", "pl": "place platz", "plz": "plaza pza piazza",
        "sq": "square sqr", "cres": "crescent crsc", "ter": "terrace terr tce", "pde": "parade", "cl": "close",
        "gdns": "gardens gdn", "gr": "grove grv", "hwy": "highway hway", "pkwy": "parkway pky pkway", "cct": "circuit",
        "cir": "circle circ", "ctr": "center centre cntr", "hts": "heights", "mt": "mount", "ft": "fort", "bldg": "building",
        "fl": "floor flr", "apt": "apartment flat unit suite ste appt appartement wohnung whg", "rm": "room", "hse": "house",
        "no": "number nr num numero", "chem": "chemin", "all": "allee", "rte": "route", "imp": "impasse", "viale": "vle",
        "calle": "cll", "crta": "carretera ctra", "n": "north", "s": "south", "e": "east", "w": "west",
        "ne": "northeast", "nw": "northwest", "se": "southeast", "sw": "southwest",
    }.items()
    for long in longs.split()
}  # fmt: skip
"""Words of addresses as they are shortened; no short one is itself shortened."""
POBOX = re.compile(r"\bp\s*o\s*box\b|\bpost office box\b|\bpostfach\b|\bboite postale\b|\bapartado\b")
HOUSE = re.compile(r"\d+[a-z]?\b")
UNIT = re.compile(r"\bapt\s+(\w+)")
TAIL = re.compile(r"(\w{3,}?)(?:strasse|str)+\b")
FLOAT = re.compile(r"(\d+)\.0")
ZIP4 = re.compile(r"(\d{5})-\d{4}")


def address(text: str) -> str:
    """Street, house and unit in short words. Idempotent.

    >>> address("Flat 3, 12 North Street"), address("12 N St., Apt. 3"), address("Hauptstraße 5"), address("Hauptstr. 5")
    ('apt 3 12 n st', '12 n st apt 3', 'haupt st 5', 'haupt st 5')
    """
    plain = POBOX.sub("pobox", words(text))
    plain = TAIL.sub(r"\1 st", plain) if "str" in plain else plain
    return " ".join(SHORT.get(word, word) for word in plain.split())


def place(text: str) -> str:
    """A town, region or country in short words.

    >>> place("St. Albans"), place("Saint-Denis"), place("MÜNCHEN"), place("東京")
    ('st albans', 'st denis', 'munchen', '東京')
    """
    return " ".join(
        SHORT.get(word, word) if word in ("saint", "sainte", "mount", "fort") else word for word in words(text).split()
    )


def postcode(text: str) -> str:
    """A postcode without gaps; what a spreadsheet or the +4 of an American one adds goes. Idempotent.

    >>> postcode("sw1a 1aa"), postcode("12345-6789"), postcode("2000.0"), postcode("D-10115")
    ('sw1a1aa', '12345', '2000', 'd10115')
    """
    plain = text.strip()
    found = FLOAT.fullmatch(plain) or ZIP4.fullmatch(plain)
    return compact(found[1] if found else plain)


def house_number(text: str) -> str | None:
    """The number of the house, with its letter; a flat's number is none.

    >>> house_number("Flat 3, 12a North Street"), house_number("Hauptstr. 5"), house_number("The Cottage")
    ('12a', '5', None)
    """
    rest = UNIT.sub(" ", address(text))
    found = HOUSE.search(rest)
    return found[0] if found else None


def unit(text: str) -> str | None:
    """The flat within the house.

    >>> unit("12 N St., Apt. 3B"), unit("12 North Street")
    ('3b', None)
    """
    found = UNIT.search(address(text))
    return found[1] if found else None
