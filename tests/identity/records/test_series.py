"""Another word in a name means another thing, where many of those who would be joined have one."""

from __future__ import annotations

from itertools import product

import numpy as np
import pyarrow as pa

from whence.identity.records import fields, series
from whence.identity.records.compare import compare
from whence.identity.records.table import Field, Fields, Pairs

TITLE, GUEST = Field("title", "text"), Field("guest", "name")
LEFT = np.arange(0, 80, 2, dtype=np.int32)
PAIRS = Pairs(LEFT, LEFT + 1)
MAKERS = [
    "".join(each)
    for each in product(("bal", "fid", "mor", "tev", "hus"), ("ona", "ire", "usk", "ept", "olm", "ady", "ick", "ung"))
]


def told(each: str, other: str, name: Field = TITLE, source: list[str] | None = None, copies: int = 1) -> series.Told | None:
    """What is told of pairs that are believed to be one, each written in these two ways with a name in it, and again further below."""
    names = [way.format(maker, 1 + at % 3, 5 + at % 4) for at, maker in enumerate(MAKERS) for way in (each, other)]
    table = pa.table({name.name: names * copies, "shop": source or ["one"] * len(names) * copies})
    records = fields.prepare(table, Fields((name,), source="shop" if source else None))
    return series.told_apart(records, PAIRS, compare(records, PAIRS), np.full(len(LEFT), 4.0))


def test_bolts_of_two_sizes_are_two_bolts() -> None:
    found = told("{0} bolt m{1}", "{0} bolt m{2}")
    assert found is not None
    assert (found.columns, found.apart.tolist()) == ({"title": "word"}, list(range(len(LEFT))))
    assert found.log_odds.tolist() == [series.REFUSED] * len(LEFT)


def test_names_that_are_there_twice_are_those_of_one_thing() -> None:
    assert told("{0} bolt m{1}", "{0} bolt m{1}") is None


def test_typing_errors_short_forms_and_words_that_are_left_out_are_no_other_words() -> None:
    assert told("{0} trading limited", "{0} tradnig ltd") is None
    assert told("{0} trading", "the {0} trading of york") is None


def test_a_trade_is_no_legal_form_that_begins_alike() -> None:
    assert told("{0} insurance ltd", "{0} services inc") is not None


def test_where_names_are_there_twice_another_number_means_another_thing_and_another_word_does_not() -> None:
    found = told("{0} bolt m{1}", "m{2} bolt {0}", copies=2)
    assert found is not None
    assert found.columns == {"title": "number"}
    assert told("{0} bolt m{1} blank", "bolt zinc {0} m{1}", copies=2) is None


def test_a_number_that_is_written_without_a_blank_is_the_same_number() -> None:
    assert told("{0} 4{1}3 course", "{0}4{1}3 course", copies=2) is None


def test_what_names_are_is_seen_in_more_pairs_where_too_few_are_left() -> None:
    names = [f"{maker} bolt {size}" for maker in MAKERS for size in ("m4", "m5")]
    records = fields.prepare(pa.table({"title": names}), Fields((TITLE,)))
    few = np.where(np.arange(len(LEFT)) < 10, 4.0, -4.0)
    assert series.told_apart(records, PAIRS, compare(records, PAIRS), few) is None
    found = series.told_apart(records, PAIRS, compare(records, PAIRS), few, np.full(len(LEFT), 4.0))
    assert found is not None
    assert len(found.apart) == 10


def test_a_wine_of_another_vintage_is_another_wine_and_one_year_more_is_a_slip() -> None:
    def of_years(later: int) -> series.Told | None:
        rows = [{"wine": maker, "vintage": str(1990 + at % 9 + more)} for at, maker in enumerate(MAKERS) for more in (0, later)]
        records = fields.prepare(pa.Table.from_pylist(rows), Fields((Field("wine", "name"), Field("vintage", "year"))))
        return series.told_apart(records, PAIRS, compare(records, PAIRS), np.full(len(LEFT), 4.0))

    found = of_years(3)
    assert found is not None
    assert (found.columns, len(found.apart)) == ({"vintage": "year"}, len(LEFT))
    assert of_years(1) is None


def test_two_shops_may_call_one_thing_otherwise() -> None:
    assert told("{0} bolt m{1}", "{0} bolt m{2}", source=["one", "other"] * len(LEFT)) is None


def test_who_books_together_is_not_one_guest() -> None:
    found = told("Karli {0}", "Jenna {0}", GUEST)
    assert found is not None
    assert len(found.apart) == len(LEFT)


def test_titles_that_are_not_alike_are_two_titles_and_remarks_say_nothing_of_who_is_who() -> None:
    def of(header: str) -> series.Told | None:
        name = Field(header, "text")
        table = pa.table({header: [title for each in MAKERS for title in (f"{each} of the", f"a quizz {each[::-1]}")]})
        records = fields.prepare(table, Fields((name,)))
        return series.told_apart(records, PAIRS, compare(records, PAIRS), np.full(len(LEFT), 4.0))

    found = of("title")
    assert found is not None
    assert (found.columns, len(found.apart)) == ({"title": "word"}, len(LEFT))
    assert of("remarks") is None
