import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whence.identity.records import wording
from whence.identity.records.table import MISSING, Column, Field, Pairs, Records
from whence.identity.records.wording import Texts, Wording, fit, take_apart

SHOP = (
    "Sony Cyber-shot DSC-W120/B 7.2 MP black",
    "Sony DSCW120B digital camera 7.2 MP",
    "Sony Cyber-shot DSC-W130/B 8.1 MP black",
    "Microsoft Office small business edition 2007",
    "Microsoft Office SBE 2007",
    "Adobe Photoshop 9",
    "Adobe Photo Shop 9",
)


def codes(*places):
    return np.asarray(places, dtype=np.int32)


def said(texts, left, right, **how):
    """The signals of one pair, by their name."""
    found = wording.evidence("title", texts, codes(left), codes(right), **how)
    return dict(zip((name.removeprefix("title:") for name in found.names), found.values[0].tolist(), strict=True))


def pair_of(one, other):
    return said(Texts((one, other), fit((one, other))), 0, 1)


@pytest.fixture(scope="module")
def shop():
    return Texts(SHOP, fit(SHOP))


def test_a_code_is_found_however_it_is_written(shop):
    same, other = said(shop, 0, 1), said(shop, 0, 2)
    assert same["codes_found"] == len("dscw120b")
    assert other["codes_found"] == 0
    assert other["codes_similarity"] == pytest.approx(7 / 8)


SHELF = ("lamp s1 in black", "lamp s2 in white", "lamp s3 in red", "cushion in black", "cushion in red", "lamp s4 of black wood")


def test_words_that_stand_in_each_others_place_on_a_shelf_make_two_things():
    texts = Texts(SHELF, fit(SHELF), wording.alternatives([SHELF]))
    assert texts.alternatives["black"] == {"red": 2, "white": 1}
    other, same = said(texts, 1, 0), said(texts, 0, 5)
    assert other["choices_clash"] == pytest.approx(math.log(2))
    assert other["choices_alike"] == pytest.approx(math.log(2))
    assert (same["choices_clash"], same["choice_shared"]) == (0, pytest.approx(math.log(4)))


def test_two_spellings_in_two_sources_are_no_alternatives_where_no_source_holds_one_thing_twice():
    column = Column(Field("title", "text"), codes(0, 1), ("the new shoo", "the new shoe"))
    one, two = (Records(("a", "b"), (column,), codes(*source), unique_sources=True) for source in ((0, 0), (0, 1)))
    assert wording.statistics(one)[wording.WHOLE].alternatives == {"shoe": {"shoo": 1}, "shoo": {"shoe": 1}}
    assert wording.statistics(two)[wording.WHOLE].alternatives == {}


def test_two_codes_of_one_shape_are_two_things_and_the_more_alike_the_surer(shop):
    same, other = said(shop, 0, 1), said(shop, 0, 2)
    assert (same["clashes"], same["clash_similarity"]) == (0, 0)
    assert (other["clashes"], other["clash_similarity"]) == (1, pytest.approx(7 / 8))
    assert pair_of("nuvi 0101081500", "nuvi fm12x")["clashes"] == 0


def test_what_a_code_ends_in_may_stand_for_a_word_on_the_other_side():
    silver, orange = pair_of("cushion f8n044slv", "cushion f8n044 silver"), pair_of("cushion f8n044slv", "cushion f8n044 orange")
    assert silver["lower_code_explained"] == 1
    assert orange["lower_code_explained"] == 0
    assert silver["lower_code_found"] == pytest.approx(7 / 9)


def test_another_number_beside_the_same_word_is_a_conflict(shop):
    same, other = said(shop, 0, 1), said(shop, 0, 2)
    assert (same["amounts_same"] > 0, same["amounts_conflict"]) == (True, 0)
    assert other["amounts_conflict"] > 0


def test_initials_stand_for_the_words_they_are_of(shop):
    assert said(shop, 3, 4)["higher_softly_unmatched"] == 0
    assert said(shop, 3, 4)["higher_words_unmatched"] == 0


def test_words_written_together_are_found(shop):
    assert said(shop, 5, 6)["higher_softly_unmatched"] == 0


def test_a_rare_word_alone_weighs_more_than_a_common_one():
    texts = ("red shoe", "red hat", "red coat", "blue coat")
    counted = fit(texts)
    assert counted.weight("shoe") > counted.weight("coat") > counted.weight("red")
    assert counted.weight("never seen") >= counted.weight("shoe")


def test_missing_texts_say_nothing_and_equal_texts_agree(shop):
    assert all(math.isnan(value) for value in said(shop, 0, MISSING).values())
    equal = said(shop, 1, 1)
    assert equal["words_cosine"] == pytest.approx(1)
    assert equal["higher_softly_unmatched"] == equal["numbers_unmatched"] == 0


def test_sides_are_told_apart_only_where_they_have_a_meaning(shop):
    assert said(shop, 0, 1) == pytest.approx(said(shop, 1, 0), nan_ok=True)
    there, back = said(shop, 0, 1, is_directed=True), said(shop, 1, 0, is_directed=True)
    assert there["left_softly_unmatched"] == back["right_softly_unmatched"]


def test_the_cheap_signals_are_some_of_the_whole(shop):
    cheap, whole = said(shop, 0, 1, is_cheap=True), said(shop, 0, 1)
    assert cheap.items() <= whole.items()
    assert len(cheap) < len(whole)


def test_no_pairs_have_no_rows_but_all_names(shop):
    found = wording.evidence("title", shop, codes(), codes())
    assert found.values.shape == (0, len(found.names))


def test_the_same_wording_comes_back_from_its_json():
    counted = replace(fit(SHOP), alternatives={"black": {"white": 1}})
    assert Wording.from_json(json.loads(json.dumps(counted.to_json()))) == counted
    assert fit(SHOP[::-1]) == fit(SHOP)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(max_size=30), min_size=2, max_size=5, unique=True))
def test_any_texts_can_be_compared(texts):
    values = tuple(sorted(texts))
    found = wording.evidence("x", Texts(values, fit(values)), codes(0), codes(1))
    assert not np.isinf(found.values).any()


def two_shops():
    """Three records of each of two sources; black and white are the same product in no pair."""
    titles = ("lamp black", "lamp white", "new lamp black")
    column = Column(Field("title", "text"), codes(0, 1, 2, 0, 1, 2), titles)
    price = Column(Field("price", "number"), codes(0, 1, MISSING, 1, 0, 0), ("10", "20"))
    source = codes(0, 0, 0, 1, 1, 1)
    return Records(tuple("abcdef"), (column, price), source, unique_sources=True)


def test_records_are_described_by_field_as_a_whole_and_by_what_each_side_has_alone():
    found = wording.describe(two_shops(), Pairs(codes(0, 2), codes(4, 3)))
    names = found.evidence.names
    assert {name.split(":")[0] for name in names} == {"title", "price", "record"}
    assert found.evidence.values.shape == (2, len(names))
    apart = found.evidence.values[:, names.index("price:amount_apart")]
    assert apart[0] == 0
    assert math.isnan(apart[1])
    lone = [{found.alone.names[place] for place in found.alone.rows[row].indices} for row in (0, 1)]
    assert lone[0] == {"title:black", "title:white", "record:black", "record:white"}
    assert "title:new" in lone[1]


def test_which_record_of_a_pair_comes_first_changes_nothing():
    there = wording.describe(two_shops(), Pairs(codes(0, 2), codes(4, 3)))
    back = wording.describe(two_shops(), Pairs(codes(4, 3), codes(0, 2)))
    np.testing.assert_array_equal(there.evidence.values, back.evidence.values)


def test_codes_are_runs_with_digits_among_other_signs():
    assert take_apart("the 2007 edition").codes == frozenset()
    assert take_apart("isbn 9780131103627 vol ii").codes == {"9780131103627"}


def test_a_code_less_its_last_letters_is_found_where_it_is_glued_or_cut():
    found = pair_of("mitsubishi stand mbs73v", "mitsubishi mb s73 stand")
    assert found["codes_stem_found"] == 5
    assert found["codes_ending"] == len("v")


def test_part_one_is_not_part_two():
    assert pair_of("tuning part i", "tuning part ii")["parts_same"] == 0
    assert pair_of("tuning part ii", "tuning (part ii)")["parts_same"] == 1
    assert np.isnan(pair_of("tuning", "tuning part ii")["parts_same"])
