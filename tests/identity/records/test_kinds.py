"""What columns are, found from tables that nobody has seen before."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from whence.identity.records import headers
from whence.identity.records.fields import guess, study

DICE = np.random.default_rng(7)
ROWS = 120


def kind_of(name: str, values: list[str | None]) -> str:
    """The guess for one column, next to another so that it is not alone."""
    found = {each.name: each.kind for each in guess(pa.table({name: values, "other": ["x y"] * len(values)})).fields}
    return found.get(name, "left out")


def drawn(form: str, low: int, high: int) -> list[str | None]:
    """Values of a form around whole numbers, each of them at least twice."""
    some = [form.format(number) for number in DICE.integers(low, high, ROWS // 2)]
    return [*some, *some]


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("Teléfono", [*drawn("6{:08d}", 0, 10**8), *drawn("+34 6{:02d} 555 123", 0, 100)], "phone"),
        ("a", [*drawn("+34 6{:08d}", 0, 10**8), *drawn("6{:08d}", 0, 10**8)], "phone"),
        ("a", drawn("(212) 555-{:04d}", 0, 9999), "phone"),
        ("Tel.", drawn("0{:d}", 10**8, 10**9), "phone"),
        ("C.P.", drawn("{:05d}", 28001, 28999), "postcode"),
        ("a", drawn("{:05d}", 100, 99999), "postcode"),
        ("a", drawn("SW{}A 1AA", 1, 9), "postcode"),
        ("Dirección", drawn("C/ Mayor {}", 1, 200), "address"),
        ("a", drawn("{} Baker Street", 1, 200), "address"),
        ("a", drawn("Lindenstraße {}", 1, 200), "address"),
        ("Hausnummer der Straße", drawn("{}", 1, 200), "code"),
        ("Geb.-Dat.", drawn("{:02d}.03.1980", 1, 28), "date"),
        ("a", drawn("March {}, 1980", 1, 28), "date"),
        ("a", drawn("{} mars 1980", 1, 28), "date"),
        ("a", drawn("1980-03-{:02d}T00:00:00", 1, 28), "date"),
        ("a", drawn("{}", 1900, 2020), "year"),
        ("a", drawn("1.{:03d},50", 0, 999), "number"),
        ("a", drawn("${},250.00", 1, 999), "number"),
        ("a", drawn("3:{:02d}", 10, 59), "number"),
        ("a", drawn("52.{:05d}", 10000, 99999), "number"),
        ("a", drawn("https://www.a{}.com/x", 0, 999), "code"),
        ("a", drawn("978{:010d}", 0, 10**10), "code"),
        ("a", drawn("ES{:022d}", 0, 10**15), "code"),
        ("a", drawn("0{:03d}", 0, 999), "postcode"),
        ("a", drawn("00{:d}", 10, 99999), "code"),
        ("docket", drawn("3:05-cv-{:05d}", 0, 99999), "code"),
        ("příjmení", ["Novák", "Svoboda", "Dvořák"] * 40, "surname"),
        ("氏名", ["山田太郎", "佐藤花子", "鈴木一郎"] * 40, "name"),
        ("Kön", ["M", "K"] * 60, "category"),
        ("name", drawn("Canon EOS {}D", 1, 99), "text"),
        ("company_name", ["Lee Foods Ltd", "Ray & Sons", "Abel Media"] * 40, "text"),
        ("vendor_id", drawn("V{:05d}", 0, 99999), "code"),
        ("birth place", ["Ulm", "Bonn", "Jena", "Kiel"] * 40, "place"),
    ],
)
def test_kinds_are_found(name: str, values: list[str | None], kind: str) -> None:
    assert kind_of(name, values) == kind


def test_a_lone_nombre_of_several_words_is_the_whole_name() -> None:
    whole = ["Ana Ruiz", "Eva Gil", "Luz Mora"] * 20
    assert guess(pa.table({"nombre": whole, "x": ["a b"] * 60})).fields[0].kind == "name"
    assert guess(pa.table({"nombre": whole, "apellido": ["Ruiz", "Gil", "Mora"] * 20})).fields[0].kind == "given_name"


@pytest.mark.parametrize(
    ("name", "form"), [("Historia", "H{:06d}"), ("KdNr", "{}00"), ("sku", "A{}"), ("", "{}"), ("customer_id", "c-{}-x")]
)
def test_counters_and_ids_name_the_row_and_are_no_evidence(name: str, form: str) -> None:
    table = pa.table({name: [form.format(row) for row in range(ROWS)], "city": ["Ulm", "Bonn"] * (ROWS // 2)})
    found = study(table)
    assert found.fields.id == name
    assert [each.name for each in found.fields.fields] == ["city"]
    assert found.why[name].startswith("names the row: no value comes twice")


def test_tokens_of_machines_name_the_row_too() -> None:
    tokens = [f"{DICE.integers(1 << 60):032x}" for _ in range(ROWS)]
    assert guess(pa.table({"x": tokens, "city": ["Ulm", "Bonn"] * (ROWS // 2)})).id == "x"


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("mail", [f"ann{row}@lee.com" for row in range(ROWS)]),
        ("Tel.", [f"0{number}" for number in DICE.choice(10**6, ROWS, replace=False) + 200_000_000]),
        ("title", [f"The book of {row}" for row in range(ROWS)]),
        ("isbn", [f"978{number}" for number in DICE.choice(10**6, ROWS, replace=False) * 999 + 10**9]),
        ("dob", [f"19{row % 90 + 10}-0{row % 9 + 1}-1{row % 8}" for row in range(ROWS)]),
    ],
)
def test_unique_values_of_a_person_or_thing_stay_evidence(name: str, values: list[str]) -> None:
    found = guess(pa.table({name: values, "city": ["Ulm", "Bonn"] * (ROWS // 2)}))
    assert found.id is None
    assert name in {each.name for each in found.fields}


def test_one_id_is_taken_and_others_are_left_out_with_a_reason() -> None:
    table = pa.table({"row": range(50), "unique_id": range(100, 150), "city": ["Ulm", "Bonn"] * 25})
    found = study(table)
    assert found.fields.id == "unique_id"
    assert found.why["row"].startswith("one more that names the row")


def test_a_column_of_one_source_alone_is_left_out() -> None:
    table = pa.table({"city": ["Ulm", "Bonn"] * 10, "fax": ["1"] * 10 + [None] * 10, "source": ["a"] * 10 + ["b"] * 10})
    assert study(table).why["fax"] in ("only one of the sources has it", "every value is '1'")
    told = study(table.set_column(1, "fax", [[str(x) for x in range(70000, 70010)] + [None] * 10])).why["fax"]
    assert told == "only one of the sources has it"


def test_three_hundred_columns_take_no_time() -> None:
    table = pa.table({f"c{at}": [f"v{at} {row % 30}" for row in range(60)] for at in range(300)})
    assert len(guess(table).fields) == 300


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        ("Geburtsdatum", "date"),
        ("date de naissance", "date"),
        ("cognome", "surname"),
        ("achternaam", "surname"),
        ("efternavn", "surname"),
        ("etunimi", "given_name"),
        ("E-Mail-Adresse", "email"),
        ("puhelinnumero", "phone"),
        ("irányítószám", "postcode"),
        ("PSČ", "postcode"),
        ("şehir", "place"),
        ("localitate", "place"),
        ("morada", "address"),
        ("Фамилия", "surname"),
        ("电话", "phone"),
        ("custFirstName", "given_name"),
    ],
)
def test_headers_are_read_in_many_languages(header: str, kind: str) -> None:
    assert next(iter(headers.says(header))) == kind


def test_addresses_of_the_web_and_long_numbers_name_rows_where_the_header_says_id() -> None:
    rows = range(60)
    pages = pa.table({"id": [f"http://geo.example/{at * 7919 % 1000}" for at in rows], "city": ["Ulm", "Bonn"] * 30})
    accounts = pa.table({"Account ID": [f"001{at * 7919 % 1000:09}" for at in rows], "city": ["Ulm", "Bonn"] * 30})
    assert (study(pages).fields.id, study(accounts).fields.id) == ("id", "Account ID")
    assert study(pages.rename_columns(["page", "city"])).fields.id is None


def test_a_label_in_words_is_what_a_thing_is_called_and_one_in_numbers_an_answer() -> None:
    words = pa.table({"label": [f"{each} {other}" for each in ("New", "Old", "Upper") for other in TOWNS]})
    numbers = pa.table({"label": [str(at // 2) for at in range(60)], "city": ["Ulm", "Bonn"] * 30})
    assert [each.name for each in study(words).fields.fields] == ["label"]
    assert "known answer" in study(numbers).why["label"]


TOWNS = ("Ulm", "Bonn", "Jena", "Kiel", "Trier", "Hof", "Celle", "Fulda", "Gera", "Suhl")
