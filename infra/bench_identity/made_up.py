"""Tables made up to mislead whoever takes relatives for one person: families with twins, firms of one group, fathers and
sons, songs of one album, doctors of one practice, voters of few towns, tickets bought together, bolts of one catalogue,
parts of one series, wines of many years, concerts in one town, drugs in several strengths, rooms of one hotel, flats of one size.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

Row = dict[str, Any]
Draw = np.random.Generator

SYLLABLES = (
    "ba",
    "do",
    "fe",
    "gi",
    "ka",
    "lo",
    "mu",
    "ne",
    "pi",
    "ro",
    "su",
    "ta",
    "vi",
    "we",
    "zo",
    "ci",
    "ha",
    "le",
    "mo",
    "ra",
)
LETTERS = "abcdefghijklmnopqrstuvwxyz"
FORMATS = ("%Y-%m-%d", "%d/%m/%Y", "%d.%m.%Y", "%d %b %Y")
TRADES = ("Logistics", "Software", "Foods", "Trading", "Energy", "Media", "Medical", "Building")
FORMS = (("GmbH", "Gesellschaft mbH"), ("Ltd", "Limited"), ("SA", "S.A."), ("BV", "B.V."))


def tables(folder: Path, seed: int = 0) -> Iterator[tuple[str, tuple[Path, ...], Mapping[str, str]]]:
    """Each set's name, its files in the folder, and who each record really is; rows that name a file are in that one."""
    for name, make in MADE.items():
        draw = np.random.default_rng(seed)
        rows = [row | {"id": f"r{at:05d}"} for at, row in enumerate(_shuffled(list(make(draw)), draw))]
        files = sorted({str(row.get("file", "")) for row in rows})
        paths = tuple(folder / f"{name.replace(' ', '_')}{file}.csv" for file in files)
        for file, path in zip(files, paths, strict=True):
            _write(path, [row for row in rows if row.get("file", "") == file])
        yield name, paths, {row["id"]: str(row["who"]) for row in rows}


def _write(path: Path, rows: list[Row]) -> None:
    columns = [column for column in rows[0] if column not in ("id", "who", "file")]
    with path.open("w", newline="", encoding="utf-8") as file:
        written = csv.DictWriter(file, ["id", *columns], extrasaction="ignore")
        written.writeheader()
        written.writerows(rows)


def families(draw: Draw, homes: int = 900) -> Iterator[Row]:
    """Patients of one surname, home and phone, some of them twins; dates in four forms, names with slips or the wrong way round."""
    firsts = [_word(draw, 2) for _ in range(120)]
    who = 0
    for _ in range(homes):
        home = {"last": _word(draw), "address": f"{draw.integers(1, 200)} {_word(draw)} Street", "city": _word(draw, 2)}
        phone, born = f"07{draw.integers(10**8, 10**9)}", _day(draw)
        for first in draw.choice(firsts, draw.integers(1, 5), replace=False):
            born = born if draw.random() < 0.05 else _day(draw)
            person = {"first": str(first), **home}
            for copy in range(draw.choice([1, 1, 1, 2, 3])):
                shown = _slipped(person, draw) if copy else person
                filled = {"mobile": phone if draw.random() < 0.6 else "", "born": born.strftime(draw.choice(FORMATS))}
                yield {
                    "first": shown["first"],
                    "last": shown["last"],
                    **filled,
                    **{at: shown[at] for at in ("address", "city")},
                    "who": who,
                }
            who += 1


def _slipped(person: Mapping[str, str], draw: Draw) -> dict[str, str]:
    """A further record: typing errors, an initial, names the wrong way round, or a move."""
    shown = {name: _mistyped(value, draw) if draw.random() < 0.1 else value for name, value in person.items()}
    if draw.random() < 0.05:
        shown["first"], shown["last"] = shown["last"], shown["first"]
    if draw.random() < 0.05:
        shown["first"] = f"{shown['first'][0]}."
    if draw.random() < 0.1:
        shown["address"] = f"{draw.integers(1, 200)} {_word(draw)} Street"
    return shown


def groups(draw: Draw, number: int = 1500) -> Iterator[Row]:
    """Firms, one in three with sisters of its name, house, phone and page in another trade; their tax numbers are often missing."""
    who = 0
    for _ in range(number):
        name, place = _word(draw), _word(draw)
        shared = {
            "street": f"{_word(draw)} Street {draw.integers(1, 99)}",
            "city": place,
            "phone": f"+4930{draw.integers(10**6, 10**7)}",
        }
        for trade in draw.choice(TRADES, draw.choice([1, 1, 2]), replace=False):
            tax, form = f"DE{draw.integers(10**8, 10**9)}", FORMS[draw.integers(len(FORMS))]
            for copy in range(draw.choice([1, 1, 2])):
                firm = f"{name} {trade} {form[copy]}"
                known = {
                    "vat_id": tax if draw.random() < 0.7 else "",
                    "website": f"{name.lower()}.example" if draw.random() < 0.5 else "",
                }
                yield {"company": _mistyped(firm, draw) if copy and draw.random() < 0.3 else firm, **shared, **known, "who": who}
            who += 1


def sons(draw: Draw, homes: int = 2500) -> Iterator[Row]:
    """Voters with a year of birth alone; one home in six has a son of his father's name, and half have somebody else."""
    firsts, lasts = [_word(draw, 2) for _ in range(60)], [_word(draw) for _ in range(400)]
    who = 0
    for _ in range(homes):
        first, year = draw.choice(firsts), int(draw.integers(1930, 1975))
        people = [(first, year)]
        people += [(first, year + int(draw.integers(22, 36)))] if draw.random() < 1 / 6 else []
        people += [(draw.choice(firsts), year + int(draw.integers(-5, 6)))] if draw.random() < 0.5 else []
        home = {
            "last": draw.choice(lasts),
            "residence": f"{draw.integers(1, 999)} {_word(draw, 2)} Avenue",
            "zip": f"{draw.integers(10000, 10100)}",
        }
        for given, born in people:
            for copy in range(draw.choice([1, 1, 1, 2])):
                shown = _mistyped(given, draw) if copy and draw.random() < 0.15 else given
                yield {"first": shown, "birth_year": born if draw.random() < 0.95 else "", **home, "who": who}
            who += 1


def songs(draw: Draw, albums: int = 260) -> Iterator[Row]:
    """Two shops' songs, ten or so of one artist, album, label and day; some with a remix of their own; the shops write otherwise."""
    who = 0
    for _ in range(albums):
        day, price = _day(draw), draw.choice(["0.99", "1.29"])
        album = {
            "artist": f"{_word(draw)} {_word(draw)}",
            "album": " ".join(_word(draw, 2) for _ in range(2)),
            "label": _word(draw),
        }
        for _ in range(draw.integers(6, 14)):
            title, seconds = " ".join(_word(draw, 2) for _ in range(draw.integers(1, 4))), int(draw.integers(150, 330))
            for version in ("", " (Remix)")[: 1 + (draw.random() < 0.08)]:
                length = seconds + (int(draw.integers(5, 90)) if version else 0)
                told = album | {"title": f"{title}{version}", "length": f"{length // 60}:{length % 60:02}", "who": who}
                which = draw.choice(["both", "one", "other"], p=[0.25, 0.35, 0.4])
                if which != "other":
                    yield told | {"released": day.strftime("%d-%b-%y"), "price": f"$ {price}", "file": "_shop"}
                if which != "one":
                    shown = f"{told['title']}{' [Explicit]' if draw.random() < 0.1 else ''}"
                    yield told | {"title": shown, "released": day.strftime("%B %d, %Y"), "price": f"${price}", "file": "_store"}
                who += 1


def doctors(draw: Draw, number: int = 1600) -> Iterator[Row]:
    """A hospital's doctors, names in parts, and a register's, names whole; four share a practice, and one in four has moved."""
    practices = [
        {
            "street": f"{draw.integers(1, 999)} {_word(draw)} Street",
            "phone": f"({draw.integers(201, 989)}) 555-{draw.integers(10**4):04}",
        }
        for _ in range(number // 4)
    ]
    for who in range(number):
        first, last, home = _word(draw, 2), _word(draw), practices[draw.integers(len(practices))]
        which = draw.choice(["both", "one", "other"], p=[0.5, 0.25, 0.25])
        if which != "other":
            yield {
                "First Name": first,
                "Last Name": last,
                "Address": home["street"].upper(),
                "Phone": home["phone"],
                "who": who,
                "file": "_a",
            }
        if which != "one":
            now = home if draw.random() < 0.75 else practices[draw.integers(len(practices))]
            name = f"Dr. {first} {last}" if draw.random() < 0.5 else f"{last}, {first} MD"
            phone = now["phone"] if draw.random() < 0.7 else ""
            yield {
                "provider_name": _mistyped(name, draw) if draw.random() < 0.1 else name,
                "practice": now["street"],
                "tel": phone,
                "who": who,
                "file": "_b",
            }


def voters(draw: Draw, number: int = 3000) -> Iterator[Row]:
    """Three registers of given name, surname, town and postcode, of seventy towns; a slip in one row of four."""
    firsts, lasts = [_word(draw, 2) for _ in range(150)], [_word(draw) for _ in range(700)]
    towns = [(_word(draw, 2), f"{draw.integers(10000, 99999)}") for _ in range(70)]
    for who in range(number):
        town, code = towns[draw.integers(len(towns))]
        person = {"givenname": str(draw.choice(firsts)), "surname": str(draw.choice(lasts)), "suburb": town, "postcode": code}
        for file in ("_one", "_two", "_three"):
            if draw.random() < 0.55:
                slip = str(draw.choice(list(person))) if draw.random() < 0.25 else None
                yield {name: _mistyped(value, draw) if name == slip else value for name, value in person.items()} | {
                    "who": who,
                    "file": file,
                }


def tickets(draw: Draw, homes: int = 1000) -> Iterator[Row]:
    """Tickets of one to four people who have a surname, a mail and a phone together, for one event, or for two or three."""
    firsts = [_word(draw) for _ in range(400)]
    who = 0
    for home in range(homes):
        last, phone = _word(draw), f"+4930{draw.integers(10**6, 10**7)}"
        people = draw.choice(firsts, draw.integers(1, 5), replace=False)
        for order in range(draw.choice([1, 1, 2, 3])):
            event = {"event": str(draw.choice(["Gala", "Cup", "Expo", "Jazz"])), "event_date": _day(draw).isoformat()}
            for seat, first in enumerate(people):
                shown = _mistyped(first, draw) if draw.random() < 0.05 else first
                if draw.random() < 0.75:
                    yield {
                        "order": f"O{home:04}{order}",
                        "holder": f"{shown} {last}" if draw.random() < 0.5 else f"{last}, {shown}",
                        "mail": f"{last.lower()}{home}@mail.example",
                        "phone": phone if draw.random() < 0.7 else "",
                        **event,
                        "seat": f"{LETTERS[int(draw.integers(8))]}{draw.integers(1, 60)}",
                        "who": who + seat,
                    }
        who += len(people)


def bolts(draw: Draw) -> Iterator[Row]:
    """A catalogue of fastenings in many lengths and coats, one in twenty of them there twice, for another price."""
    who = 0
    for make, width, length in product(
        ("Hex bolt", "Socket screw", "Threaded rod", "Nut"), (4, 5, 6, 8, 10), (12, 16, 20, 30, 40)
    ):
        for coat in ("zinc plated", "stainless A2", "black oxide"):
            for copy in range(1 + (draw.random() < 0.05)):
                yield {
                    "description": f"{make} M{width}x{length} {coat}",
                    "kind": make,
                    "coat": coat.split()[0],
                    "pack": draw.choice([10, 50, 100]),
                    "price": f"{width * length / 80 + copy / 10:.2f}",
                    "who": who,
                }
            who += 1


def parts(draw: Draw, series: int = 190) -> Iterator[Row]:
    """Parts of a maker's series in several sizes, each there thrice: words in any order, codes often missing, prices that move."""
    makers = [f"{_word(draw)} {_word(draw)}" for _ in range(40)]
    who = 0
    for _ in range(series):
        maker, kind = str(draw.choice(makers)), str(draw.choice(["Relay", "Valve", "Gasket", "Sensor", "Gear motor", "V-belt"]))
        code, price = f"{_word(draw, 1).upper()}{draw.integers(100, 1000)}", int(draw.integers(5, 500))
        for size in draw.choice(range(1, 60), draw.choice([1, 2, 4, 8]), replace=False):
            words = [kind, maker, code, str(draw.choice(["24V", "230V", "M12", "M16", "IP67"])), f"{size}mm"]
            for copy in range(3):
                yield {
                    "part_number": f"{code}-{size}" if draw.random() < 0.75 else "",
                    "description": " ".join(draw.permutation(words) if copy and draw.random() < 0.5 else words),
                    "manufacturer": maker if draw.random() < 0.7 else "",
                    "price": f"{price * draw.uniform(0.9, 1.1):.2f}",
                    "category": kind,
                    "who": who,
                }
            who += 1


def wines(draw: Draw, number: int = 750) -> Iterator[Row]:
    """Wines of one to four years each, one in four there twice, with a slip, without its grape, or without its region."""
    estates = [f"{_word(draw)} {draw.choice(['Estate', 'Winery', 'Cellars'])}" for _ in range(150)]
    who = 0
    for _ in range(number):
        grape = str(draw.choice(["Cabernet Sauvignon", "Chardonnay", "Pinot Noir", "Merlot", "Riesling", "Syrah"]))
        wine = f"{draw.choice(estates)} {draw.choice(['Reserve', 'Old Vine', 'Barrel Select'])} {grape}"
        region, year = (
            str(draw.choice(["Napa Valley", "Sonoma", "Willamette Valley", "Finger Lakes"])),
            int(draw.integers(2000, 2018)),
        )
        for later in range(draw.choice([1, 2, 4])):
            for copy in range(draw.choice([1, 1, 1, 2])):
                shown = wine.removesuffix(grape).strip() if copy and draw.random() < 0.4 else wine
                yield {
                    "wine": _mistyped(shown, draw) if copy and draw.random() < 0.3 else shown,
                    "vintage": year + later,
                    "region": region if not copy or draw.random() < 0.8 else "",
                    "variety": grape,
                    "price": f"{draw.integers(10, 90)}.99",
                    "points": draw.integers(80, 100),
                    "who": who,
                }
            who += 1


def concerts(draw: Draw, number: int = 1500) -> Iterator[Row]:
    """Concerts in many towns, some in one town; one in three there twice, under another title, often without its town."""
    acts = [f"{_word(draw)} {_word(draw)}" if draw.random() < 0.5 else f"The {_word(draw)}s" for _ in range(200)]
    halls = [f"{_word(draw)} {draw.choice(['Hall', 'Arena', 'Theatre'])}" for _ in range(40)]
    towns = [_word(draw) for _ in range(1800)]
    for who in range(number):
        act, way = str(draw.choice(acts)), str(draw.choice(["Live", "World Tour", "in Concert", "Unplugged"]))
        told = {
            "venue": str(draw.choice(halls)),
            "date": (date(2025, 1, 1) + timedelta(days=int(draw.integers(700)))).isoformat(),
        }
        town, start = str(draw.choice(towns)), str(draw.choice(["19:00", "20:00", "20:30"]))
        for copy in range(draw.choice([1, 1, 2])):
            title = f"{act} {way}" if not copy or draw.random() < 0.5 else act
            yield {
                "event": _mistyped(title, draw) if copy and draw.random() < 0.2 else title,
                **told,
                "city": town if not copy or draw.random() < 0.7 else "",
                "start": start,
                "price": draw.integers(15, 120),
                "who": who,
            }


def drugs(draw: Draw, number: int = 700) -> Iterator[Row]:
    """A pharmacy's stock in up to three strengths and two packs each, one in a hundred of them there twice, for another price."""
    who = 0
    for _ in range(number):
        drug = {"drug": _word(draw), "substance": _word(draw, 4).lower(), "maker": f"{_word(draw, 1)} Pharma"}
        strengths = draw.choice(["5 mg", "10 mg", "20 mg", "50 mg"], draw.integers(1, 4), replace=False)
        packs = draw.choice([10, 20, 50, 100], draw.integers(1, 3), replace=False)
        for strength, pack in product(strengths, packs):
            number_of = f"{draw.integers(10**7, 10**8)}" if draw.random() < 0.6 else ""
            for copy in range(1 + (draw.random() < 0.01)):
                yield {
                    **drug,
                    "drug": _mistyped(drug["drug"], draw) if copy and draw.random() < 0.3 else drug["drug"],
                    "maker": drug["maker"] if not copy or draw.random() < 0.8 else "",
                    "strength": strength,
                    "pack": pack,
                    "pzn": number_of if not copy or draw.random() < 0.7 else "",
                    "price": f"{draw.integers(2, 90)}.{draw.integers(100):02}",
                    "who": who,
                }
            who += 1


def rooms(draw: Draw, number: int = 350) -> Iterator[Row]:
    """Rooms of hotels, which differ in kind and view; one in five is there twice, with slips and for another rate."""
    who = 0
    for _ in range(number):
        hotel = {
            "hotel": f"Hotel {_word(draw)}",
            "city": _word(draw, 2),
            "address": f"{draw.integers(1, 150)} {_word(draw)} Street",
        }
        kinds = draw.choice(["Single", "Double", "Twin", "Family", "Suite"], draw.integers(1, 6), replace=False)
        views = draw.choice(["sea view", "garden view", "city view"], draw.integers(1, 3), replace=False)
        for kind, view in product(kinds, views):
            beds, guests, rate = int(draw.integers(1, 5)), int(draw.integers(1, 6)), int(draw.integers(50, 400))
            for copy in range(1 + (draw.random() < 0.2)):
                shown = {name: _mistyped(each, draw) if copy and draw.random() < 0.2 else each for name, each in hotel.items()}
                yield {
                    **shown,
                    "room_type": kind,
                    "view": view if not copy or draw.random() < 0.9 else "",
                    "beds": beds,
                    "max_guests": guests,
                    "rate": round(rate * draw.uniform(0.85, 1.15)) if copy else rate,
                    "who": who,
                }
            who += 1


def flats(draw: Draw, number: int = 600) -> Iterator[Row]:
    """Flats that three agents offer each, of which many are of one size; some are in one house."""
    towns = [_word(draw, 2) for _ in range(30)]
    who = 0
    while who < number:
        home = {"address": f"{_word(draw)} Street {draw.integers(1, 120)}", "city": str(draw.choice(towns))}
        postcode = f"{draw.integers(20000, 20300)}"
        for _ in range(draw.choice([1, 1, 1, 2, 3])):
            area, floor = int(draw.integers(30, 180)), int(draw.integers(6))
            price = area * int(draw.integers(2500, 5000))
            for copy in range(3):
                yield {
                    "address": _mistyped(home["address"], draw) if copy and draw.random() < 0.15 else home["address"],
                    "city": home["city"],
                    "postcode": postcode if not copy or draw.random() < 0.85 else "",
                    "bedrooms": max(1, area // 30),
                    "area_m2": area + int(draw.integers(-2, 3)) if copy and draw.random() < 0.2 else area,
                    "floor": floor if not copy or draw.random() < 0.7 else "",
                    "price": round(price * draw.uniform(0.92, 1.03)),
                    "agent": draw.choice(["Engel", "Remax", "Aigner", "Dahler", "private"]),
                    "who": who,
                }
            who += 1


MADE: Mapping[str, Callable[[Draw], Iterator[Row]]] = {
    "families": families,
    "firms of one group": groups,
    "fathers and sons": sons,
    "songs of one album": songs,
    "doctors of one practice": doctors,
    "voters of few towns": voters,
    "tickets bought together": tickets,
    "bolts of one catalogue": bolts,
    "parts of one series": parts,
    "wines of many years": wines,
    "concerts in one town": concerts,
    "drugs in several strengths": drugs,
    "rooms of one hotel": rooms,
    "flats of one size": flats,
}


def _word(draw: Draw, syllables: int = 3) -> str:
    return "".join(draw.choice(SYLLABLES, syllables)).capitalize()


def _day(draw: Draw) -> date:
    return date(1930, 1, 1) + timedelta(days=int(draw.integers(30_000)))


def _mistyped(text: str, draw: Draw) -> str:
    """One letter left out, doubled, swapped or another."""
    if len(text) < 3:
        return text
    at = int(draw.integers(len(text) - 1))
    slips = (text[:at], text[: at + 1] + text[at], text[:at] + text[at + 1] + text[at], text[:at] + LETTERS[draw.integers(26)])
    ends = (text[at + 1 :], text[at + 1 :], text[at + 2 :], text[at + 1 :])
    which = int(draw.integers(4))
    return slips[which] + ends[which]


def _shuffled(rows: list[Row], draw: Draw) -> list[Row]:
    return [rows[at] for at in draw.permutation(len(rows))]
