"""Numbers and dates that only come close: whom they find, and where they are not believed."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest

from whence.identity.clusters import Rules, cluster
from whence.identity.records import choose, fields, near
from whence.identity.records.keys import Part, transformed
from whence.identity.records.retrieve import Budget, recall, retrieve, suggest, truth
from whence.identity.records.table import Column, Field, Fields, Pairs

START = date(2022, 1, 1)


def transfers(number: int = 1500, seed: int = 5) -> pa.Table:
    """Money sent and received: some days later, in another currency and back, and the note cut short."""
    draw = np.random.default_rng(seed)
    payers = ["".join(draw.choice(list("abcdefghijklmnopqrstuvwxyz"), 7)) for _ in range(number // 3)]
    rows = []
    for each in range(number):
        note = f"{payers[draw.integers(len(payers))]} {['rent', 'donation', 'payment', 'loan'][draw.integers(4)]} {draw.integers(90)}"
        day, amount = START + timedelta(days=int(draw.integers(120))), float(np.exp(draw.uniform(3, 9)))
        cut = note if draw.random() < 0.4 else note[: draw.integers(8, 12)]
        later, less = day + timedelta(days=int(draw.integers(1, 6))), amount * (1 + draw.normal(0, 0.02))
        rows.append({"no": f"a{each}", "one": str(each), "note": note, "day": day.isoformat(), "amount": f"{amount:.2f}"})
        rows.append({"no": f"b{each}", "one": str(each), "note": cut, "day": later.isoformat(), "amount": f"{less:.2f}"})
    return pa.Table.from_pylist(rows)


TRANSFER = Fields((Field("note", "text"), Field("day", "day"), Field("amount", "number")), id="no", label="one")


def column(kind: str, values: list[str]) -> Column:
    return Column(Field("x", kind), np.arange(len(values), dtype=np.int32), tuple(values))


@pytest.mark.parametrize(("kind", "one", "other"), [("number", "100", "104"), ("day", "2022-02-28", "2022-03-03")])
def test_what_is_less_than_half_a_band_apart_shares_one_of_two_bands(kind: str, one: str, other: str) -> None:
    plain, shifted = choose.BANDS[kind][-2:]
    shared = [transformed(column(kind, [one, other]), of)[0] for of in (plain, shifted)]
    assert any(ours == theirs for ours, theirs in shared)
    assert set(near.terms(kind)(one)) & set(near.terms(kind)(other))


def test_numbers_of_other_sign_size_or_none_share_no_band() -> None:
    terms = near.terms("number")
    assert not set(terms("5")) & set(terms("-5"))
    assert not set(terms("5")) & set(terms("5000"))
    assert terms("0") == ["=0"]


def test_transfers_whose_days_and_amounts_only_come_close_are_found_by_keys() -> None:
    records = fields.prepare(transfers(), TRANSFER)
    plan = suggest(records, Budget(searched=0))
    found = retrieve(records, plan)
    assert recall(found, truth(records)) > 0.9
    assert found.report.per_record < 10
    assert any(part.of in choose.BANDS["number"] for key in plan.keys for part in key.parts)


def test_days_that_come_close_are_told_from_births_by_what_is_in_them() -> None:
    table = transfers()
    found = fields.study(table.drop_columns(["one"]))
    assert {each.name: each.kind for each in found.fields.fields}["day"] == "day"
    assert "come close" in found.why["day"]
    assert {each.name: each.kind for each in fields.guess(table.rename_columns({"day": "birth_date"})).fields}[
        "birth_date"
    ] == "date"


def test_a_year_that_agrees_where_titles_do_counts_beside_them() -> None:
    draw = np.random.default_rng(2)
    titles = ["".join(draw.choice(list("abcdefghij"), 9)) for _ in range(200)]
    years = draw.integers(1920, 2020, 200).astype(str).tolist()
    noise = draw.integers(1, 1000, 400).astype(str).tolist()
    table = pa.table({"title": titles * 2, "year": years * 2, "noise": noise})
    records = fields.prepare(table, Fields((Field("title", "text"), Field("year", "year"), Field("noise", "number"))))
    weights = {each.part.column: each.weight for each in choose.weigh(records)[0]}
    assert weights["year"] >= choose.BESIDE
    assert "noise" not in weights
    assert Part("year", "near years") in {each.part for each in choose.weigh(records)[0]}


def test_pairs_between_two_sources_that_nothing_speaks_for_do_not_slow_their_matching() -> None:
    n = 3000
    source = np.repeat([0, 1], n).astype(np.int32)
    draw = np.random.default_rng(0)
    pairs = np.unique(np.column_stack([draw.integers(0, n, 30 * n), draw.integers(n, 2 * n, 30 * n)]), axis=0).astype(np.int32)
    log_odds = np.where(pairs[:, 1] - n == pairs[:, 0], 3.0, -1.0 - draw.random(len(pairs)))
    found = cluster(2 * n, Pairs(pairs[:, 0], pairs[:, 1]), log_odds, Rules(unique_sources=True), source=source)
    assert int((found.sizes == 2).sum()) == int((log_odds > 0).sum())
