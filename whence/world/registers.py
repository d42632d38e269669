"""Generated registers of people: several records each, with households, moves, typos and gaps, and the true person beside."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from whence.world.ids import Floats, Ints, generator

RECORDS = np.array([0.45, 0.30, 0.17, 0.06, 0.02])
"""The shares of people with one, two … records: 1.9 on average."""
SHARED = 0.25
"""The share of people who live with another of the same surname …"""
TWINS = 0.05
"""… and the share of those born on the same day."""
MOVED, MARRIED = 0.20, 0.02
"""The shares of records from another home, and under another surname."""
HOMES_PER_POSTCODE = 12

ONSETS = [
    "b",
    "br",
    "c",
    "ch",
    "d",
    "dr",
    "f",
    "g",
    "gr",
    "h",
    "j",
    "k",
    "kl",
    "l",
    "m",
    "n",
    "p",
    "pr",
    "r",
    "s",
    "sh",
    "st",
    "t",
    "th",
    "tr",
    "v",
    "w",
    "z",
]
HEARTS = ["a", "e", "i", "o", "u", "ai", "ea", "ou"]
ENDS = ("", "n", "r", "l", "s", "m", "ck", "rd")
STREETS = ("street", "road", "lane", "avenue", "close", "way")
PROVIDERS = ("postbox.example", "mail.example", "letters.example", "inbox.example", "quickmail.example")

Texts = np.ndarray[tuple[int], np.dtype[np.bytes_]]


@dataclass(frozen=True)
class Fault:
    """How often a column is empty, mistyped, and right but another value than before."""

    missing: float
    typo: float
    changed: float = 0.0


FAULTS = {
    "given_name": Fault(0.02, 0.07),
    "surname": Fault(0.01, 0.07),
    "dob": Fault(0.08, 0.05),
    "email": Fault(0.40, 0.03, 0.20),
    "phone": Fault(0.40, 0.02, 0.20),
    "address": Fault(0.05, 0.08),
    "postcode": Fault(0.06, 0.05),
    "town": Fault(0.05, 0.02),
}
INITIAL, SHORT = 0.04, 0.05
"""The shares of given names that are written as a letter, or cut short."""


@dataclass(frozen=True)
class _Folk:
    """The people of a region, an element each; names and homes are positions in the region's vocabularies."""

    given: Ints
    surname: Ints
    birth: Ints
    home: Ints
    second_home: Ints
    number: Ints
    """Tells people apart who have the same names, in e-mail addresses."""


def register(records: int, *, seed: int = 0, regions: int = 1) -> pa.Table:
    """A register of `records` rows in random order; `person` is the truth, and no evidence.

    The people of one region have no names, streets or towns in common with those of another, so that a register
    with twice the regions and twice the records has as many candidates for each record.

    >>> register(3, seed=1).column_names[:4]
    ['unique_id', 'person', 'given_name', 'surname']
    """
    each = np.diff(np.linspace(0, records, regions + 1).astype(int))
    parts = [_region(int(size), seed, number) for number, size in enumerate(each)]
    order = generator(seed, "order").permutation(records)
    table = pa.concat_tables(parts).take(pa.array(order)).combine_chunks()
    return table.add_column(0, "unique_id", pc.cast(pa.array(np.arange(records)), pa.string()))


def _region(records: int, seed: int, region: int) -> pa.Table:
    rng = generator(seed, "register", region)
    counts = rng.choice(np.arange(1, len(RECORDS) + 1), size=records, p=RECORDS)
    person = np.repeat(np.arange(records), counts)[:records]
    folk = _folk(int(person[-1]) + 1, rng)
    told = _told(person, folk, rng, region)
    columns = {name: _spoil(texts, FAULTS[name], rng) for name, texts in told.items()}
    truth = pa.array([f"{region}-{number}" for number in range(int(person[-1]) + 1)])
    return pa.table({"person": truth.take(pa.array(person)), **columns})


def _folk(size: int, rng: np.random.Generator) -> _Folk:
    joins = rng.random(size) < 1 - (1 - SHARED) ** 0.5  # lives with the one before, who thereby shares as well
    joins[:1] = False
    head = np.maximum.accumulate(np.where(joins, 0, np.arange(size)))
    surname, birth = _zipf(rng, 12_000, 20.0, size), rng.integers(0, 26_000, size)
    twin = joins & (rng.random(size) < TWINS)
    return _Folk(
        given=_zipf(rng, 1_500, 5.0, size),
        surname=surname[head],
        birth=np.where(twin, birth[head], birth),
        home=rng.permutation(size)[head],
        second_home=rng.integers(0, size, size),
        number=rng.integers(0, 100, size),
    )


def _told(person: Ints, folk: _Folk, rng: np.random.Generator, region: int) -> dict[str, Texts]:
    """What each record would say without a slip."""
    n = len(person)
    givens, surnames = _vocabulary(1_500, 2, region, 1), _vocabulary(12_000, 3, region, 2)
    surname = np.where(rng.random(n) < MARRIED, _zipf(rng, len(surnames), 20.0, n), folk.surname[person])
    home = np.where(rng.random(n) < MOVED, folk.second_home[person], folk.home[person])
    address, postcode, town = _homes(len(folk.home), region, rng)
    given = _shortened(givens[folk.given[person]], rng)
    return {
        "given_name": given,
        "surname": surnames[surname],
        "dob": _days(folk.birth[person]),
        "email": _emails(folk, givens, surnames, rng)[_versions(person, FAULTS["email"].changed, len(folk.home), rng)],
        "phone": _phones(2 * len(folk.home), rng)[_versions(person, FAULTS["phone"].changed, len(folk.home), rng)],
        "address": address[home],
        "postcode": postcode[home],
        "town": town[home],
    }


def _versions(person: Ints, changed: float, people: int, rng: np.random.Generator) -> Ints:
    """Each record's place among the people's first values, or, where it has changed, their second."""
    return person + people * (rng.random(len(person)) < changed)


def _emails(folk: _Folk, givens: Texts, surnames: Texts, rng: np.random.Generator) -> Texts:
    size = len(folk.given)
    dot, at = np.bytes_(b"."), np.char.add(b"@", np.array(PROVIDERS, dtype=bytes))
    first = np.char.add(np.char.add(givens[folk.given], dot), surnames[folk.surname])
    first = np.char.add(first, np.char.mod(b"%d", folk.number))
    second = np.char.add(surnames[folk.surname], np.char.mod(b"%d", rng.integers(0, 10_000, size)))
    return np.char.add(np.concatenate([first, second]), at[rng.integers(0, len(PROVIDERS), 2 * size)])


def _phones(size: int, rng: np.random.Generator) -> Texts:
    return np.char.add(b"0", np.char.mod(b"%d", rng.integers(2_000_000_000, 9_999_999_999, size)))


def _homes(homes: int, region: int, rng: np.random.Generator) -> tuple[Texts, Texts, Texts]:
    """Address, postcode and town of each home; a dozen homes share a postcode, and thereby street and town."""
    codes = homes // HOMES_PER_POSTCODE + 1
    streets, towns = _vocabulary(3_000, 2, region, 3), _vocabulary(300, 3, region, 4)
    town, street = _zipf(rng, len(towns), 5.0, codes), _zipf(rng, len(streets), 10.0, codes)
    kind = np.array(STREETS, dtype=bytes)[rng.integers(0, len(STREETS), codes)]
    road = np.char.add(np.char.add(streets[street], b" "), kind)
    area = np.char.add(np.char.upper(towns[town].astype("S2")), np.char.mod(b"%d ", town % 90 + 10))
    postcode = np.char.add(area, np.char.mod(b"%05d", rng.permutation(100_000)[np.arange(codes) % 100_000]))
    of = np.arange(homes) // HOMES_PER_POSTCODE
    number = np.char.mod(b"%d ", rng.integers(1, 120, homes))
    return np.char.add(number, road[of]), postcode[of], towns[town][of]


def _shortened(given: Texts, rng: np.random.Generator) -> Texts:
    drawn = rng.random(len(given))
    written = np.where(drawn < INITIAL, given.astype("S1"), given)
    return np.where((drawn >= INITIAL) & (drawn < INITIAL + SHORT), given.astype("S3"), written)


def _days(days: Ints) -> Texts:
    return (np.datetime64("1935-01-01") + days).astype("S10")


def _spoil(texts: Texts, fault: Fault, rng: np.random.Generator) -> pa.Array:
    """The column with typing errors and gaps, as text."""
    drawn = rng.random(len(texts))
    texts = texts.astype(f"S{texts.dtype.itemsize + 1}")
    wrong = np.flatnonzero((drawn < fault.typo) & (np.char.str_len(texts) > 1))
    texts[wrong] = _mistyped(texts[wrong], rng)
    return pa.array(texts, type=pa.binary(), mask=drawn > 1 - fault.missing).cast(pa.string())


def _mistyped(texts: Texts, rng: np.random.Generator) -> Texts:
    """One slip in each text: a wrong, a missing, a doubled character, or two swapped."""
    n, width = len(texts), texts.dtype.itemsize
    letters = texts.view("S1").reshape(n, width)
    row, length = np.arange(n), np.char.str_len(texts)
    at = (rng.random(n) * (length - 1)).astype(int)
    slip = rng.integers(0, 4, n)
    column = np.arange(width)[None, :]
    after = column > at[:, None]
    source = column + np.zeros((n, 1), dtype=int)
    source += (slip[:, None] == 1) & (column >= at[:, None])  # missing: what follows moves left
    source -= (slip[:, None] == 2) & after  # doubled: what follows moves right
    made = np.take_along_axis(letters, np.clip(source, 0, width - 1), axis=1)
    swap = slip == 3
    made[row[swap], at[swap]], made[row[swap], at[swap] + 1] = letters[row[swap], at[swap] + 1], letters[row[swap], at[swap]]
    wrong = slip == 0
    digit = np.char.isdigit(letters[row, at])
    other = np.where(digit, rng.integers(ord("0"), ord("9") + 1, n), rng.integers(ord("a"), ord("z") + 1, n))
    made[row[wrong], at[wrong]] = other[wrong].astype(np.uint8).view("S1")
    return np.ascontiguousarray(made).view(f"S{width}")[:, 0]


def _zipf(rng: np.random.Generator, words: int, offset: float, size: int) -> Ints:
    """Places in a vocabulary, its first words the most common, as in names of people and places."""
    weight: Floats = np.cumsum(1.0 / (np.arange(words) + 1.0 + offset))
    return np.asarray(np.searchsorted(weight, rng.random(size) * weight[-1]), dtype=np.int64)


def _vocabulary(size: int, syllables: int, region: int, use: int) -> Texts:
    """Made-up words, with hardly two the same, and hardly one in two regions."""
    parts = [f"{onset}{heart}{end}" for end in ENDS for heart in HEARTS for onset in ONSETS]
    room = len(parts) ** syllables
    stride = 7_919 * 104_729  # a prime product, so that neighbours in rank do not look alike
    ranks = [((use * 7_907 + region * size + rank) * stride) % room for rank in range(size)]
    return np.array(["".join(_digits(rank, parts, syllables)) for rank in ranks], dtype=bytes)


def _digits(number: int, parts: list[str], digits: int) -> list[str]:
    """The number written in syllables.

    >>> _digits(5, ["ba", "be"], 3)
    ['be', 'ba', 'be']
    """
    return [parts[number // len(parts) ** place % len(parts)] for place in range(digits)]
