"""One call from a file to a folder: ids stay, a rerun changes nothing, labels and edits are picked up, and bad input is named."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.csv
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from whence.identity.records import review, store
from whence.identity.records.publish import FuseError, Labels, Outcome, Request, _nothing_compared, _of_nobody, publish
from whence.identity.records.resolve import Options, resolve
from whence.identity.records.retrieve import Plan
from whence.identity.records.review import Label
from whence.identity.records.saved import Saved
from whence.identity.records.store import Folder, FolderError

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
GIVEN = ["Ann", "Bo", "Carla", "Dieter", "Emine", "Frank", "Greta", "Hugo", "Ines", "Jonas"]
FAMILY = ["Abel", "Berger", "Costa", "Demir", "Ebert", "Fuchs", "Gomez", "Huber", "Iwata", "Jansen"]


def some_people(people: int = 60, first: int = 0) -> list[str]:
    """Two rows a person, the second with a slip in the surname."""
    rows = []
    for at in range(first, first + people):
        draw = random.Random(at)
        given, family, born = (
            draw.choice(GIVEN),
            draw.choice(FAMILY),
            f"{draw.randint(1940, 2005)}-{draw.randint(1, 12):02}-{draw.randint(1, 28):02}",
        )
        mail = f"{given}.{family}{draw.randint(10, 99)}@mail.example".lower()
        rows.append(f"{at}a,{given},{family},{born},{mail}")
        rows.append(f"{at}b,{given},{family[:-1]},{born},{mail if at % 3 else ''}")
    return rows


def a_file(folder: Path, rows: list[str], name: str = "people.csv", header: str = "id,first_name,surname,dob,email") -> Path:
    path = folder / name
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def run(path: Path, out: Path, *, hours: int = 0, **given: object) -> Outcome:
    return publish(Request((path,), out, **given), NOON + timedelta(hours=hours))  # type: ignore[arg-type]


def who(out: Path) -> dict[str, str]:
    table = pyarrow.csv.read_csv(out / "people.csv")
    return dict(zip(table["record_id"].to_pylist(), table["person_id"].to_pylist(), strict=True))


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir() if path.name != store.LOCK}


@pytest.mark.service
def test_a_file_becomes_people_and_a_rerun_changes_nothing(tmp_path: Path) -> None:
    path, out = a_file(tmp_path, some_people()), tmp_path / "out"
    outcome = run(path, out)
    assert outcome.records == 120
    assert 55 <= outcome.people == len(set(who(out).values())) <= 70
    assert outcome.changes == {"records new": 120}
    before = contents(out)
    again = run(path, out, hours=1)
    assert not again.is_new
    assert again.changes == {}
    assert contents(out) == before


@pytest.mark.service
def test_people_are_found_by_one_thread_of_linear_algebra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def resolved(*given: Any) -> Any:
        seen.extend(each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas")
        return resolve(*given)

    monkeypatch.setattr("whence.identity.records.publish.resolve", resolved)
    with threadpool_limits(limits=2, user_api="blas"):
        run(a_file(tmp_path, some_people()), tmp_path / "out")
        assert {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"} == {2}, "others keep theirs"
    assert set(seen) == {1}


def test_ids_survive_more_rows_and_another_order(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(a_file(tmp_path, some_people()), out)
    before = who(out)
    more = some_people(70)
    random.Random(0).shuffle(more)
    outcome = run(a_file(tmp_path, more), out, hours=1)
    after = who(out)
    assert outcome.changes["records new"] == 20
    assert sum(after[record] == person for record, person in before.items()) >= 0.97 * len(before)


def test_where_no_two_records_are_looked_at_a_note_says_what_is_lacking() -> None:
    table = pyarrow.table({"name": ["John Smith", "Jon Smith"] * 30})
    (note,) = _nothing_compared(resolve(table, options=Options(plan=Plan())))
    assert "No two of the 60 records were compared" in note
    assert "name (2 different)" in note
    assert _nothing_compared(resolve(pyarrow.table({"name": GIVEN * 2}))) == []


def test_labels_of_records_that_are_not_there_are_told() -> None:
    resolved = resolve(pyarrow.table({"name": GIVEN * 2}), options=Options(plan=Plan()))
    settled = review.settle([Label("x", "00", "same", "Ada", NOON)])
    (note,) = _of_nobody(resolved, Labels(settled))
    assert "1 of 1 labelled pairs name records that are not in the input, such as 'x'" in note


@pytest.mark.service
def test_labels_of_two_authors_are_kept_and_their_disagreement_is_told(tmp_path: Path) -> None:
    path, out = a_file(tmp_path, some_people()), tmp_path / "out"
    run(path, out)
    said = [Label("0a", "0b", "same", "Ada", NOON), Label("0a", "0b", "different", "Bo", NOON)]
    review.append(out / store.LABELS, said)
    outcome = run(path, out, hours=1)
    assert outcome.notes == ("Labels disagree on 0a and 0b: Ada says same, Bo says different.",)


@pytest.mark.service
def test_what_was_left_apart_for_a_word_waits_for_a_person_who_can_join_it(tmp_path: Path) -> None:
    sorts = [f"{a}{b}" for a in ("bal", "fid", "mor", "tev", "hus", "qui") for b in ("ona", "ire", "usk", "ept", "olm", "ady")]
    rows = [f"{sort}-{size},{sort} bolt m{size},{sort} works,{len(sort)}.99" for sort in sorts for size in (4, 6)]
    path, out = a_file(tmp_path, rows, header="id,description,maker,price"), tmp_path / "out"
    outcome = run(path, out)
    assert any("left apart" in note for note in outcome.notes)
    asked = pyarrow.csv.read_csv(out / store.REVIEW).to_pylist()
    assert outcome.to_review == len(asked)
    assert {("balona-4", "balona-6")} <= {(each["left_id"], each["right_id"]) for each in asked}
    assert all("a word in description that the other has not" in each["why"] for each in asked)
    review.append(out / store.LABELS, [Label("balona-4", "balona-6", "same", "Ada", NOON)])
    run(path, out, hours=1)
    assert who(out)["balona-4"] == who(out)["balona-6"]
    again = pyarrow.csv.read_csv(out / store.REVIEW).to_pylist()
    assert ("balona-4", "balona-6") not in {(each["left_id"], each["right_id"]) for each in again}


@pytest.mark.service
def test_what_people_say_of_pairs_is_learned_from_and_never_overruled(tmp_path: Path) -> None:
    path, out = a_file(tmp_path, some_people()), tmp_path / "out"
    run(path, out)
    assert who(out)["1a"] == who(out)["1b"]
    few = [Label("1a", "1b", "different", "Ada", NOON), Label("2a", "40a", "same", "Ada", NOON)]
    review.append(out / store.LABELS, few)
    outcome = run(path, out, hours=1)
    assert who(out)["1a"] != who(out)["1b"]
    assert who(out)["2a"] == who(out)["40a"]
    assert any("2 labelled pairs are too few to learn from" in note for note in outcome.notes)
    many = [Label(f"{at}a", f"{at}b", "same", "Ada", NOON) for at in range(3, 30)]
    many += [Label(f"{at}a", f"{at + 1}b", "different", "Ada", NOON) for at in range(3, 30)]
    review.append(out / store.LABELS, many)
    learned = run(path, out, hours=2)
    assert "labelled pairs" in learned.basis
    assert who(out)["1a"] != who(out)["1b"]


@pytest.mark.service
def test_an_edited_fields_file_is_used_and_kept(tmp_path: Path) -> None:
    path, out = a_file(tmp_path, some_people()), tmp_path / "out"
    run(path, out)
    fields = out / store.FIELDS
    edited = "\n".join(line for line in fields.read_text().splitlines() if not line.startswith('"email"')) + "\n"
    fields.write_text(edited)
    run(path, out, hours=1, force="fewer fields")
    assert fields.read_text() == edited
    assert "email" not in Saved.open(Folder(out)).shown


@pytest.mark.service
def test_records_with_different_accounts_stay_apart_and_the_report_says_so(tmp_path: Path) -> None:
    rows = [f"{row},{'' if at % 4 == 3 else row.split(',')[0]}" for at, row in enumerate(some_people())]
    path, out = a_file(tmp_path, rows, header="id,first_name,surname,dob,email,account"), tmp_path / "out"
    kinds = '"first_name" = "given_name"\n"surname" = "surname"\n"dob" = "date"\n"email" = "email"\n'
    (tmp_path / "fields.toml").write_text(f'id = "id"\nunique = ["account"]\n[fields]\n{kinds}')
    run(path, out, fields=tmp_path / "fields.toml")
    people = who(out)
    assert not any(people[f"{at}a"] == people[f"{at}b"] for at in range(0, 60, 2))
    assert sum(people[f"{at}a"] == people[f"{at}b"] for at in range(1, 60, 2)) > 15
    assert "different values of account" in (out / store.REPORT).read_text()


@pytest.mark.service
def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    path, out = a_file(tmp_path, some_people()), tmp_path / "out"
    outcome = run(path, out, is_dry=True)
    assert outcome.changes == {"records new": 120}
    assert contents(out) == {}


@pytest.mark.service
def test_an_input_that_lacks_most_records_is_stopped_unless_somebody_says_why(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(a_file(tmp_path, some_people()), out)
    before = contents(out)
    fewer = a_file(tmp_path, some_people(20))
    with pytest.raises(FuseError, match="80 of 120 records of the last run are not in this input"):
        run(fewer, out, hours=1)
    assert contents(out) == before
    assert run(fewer, out, hours=2, force="a smaller extract").changes["records gone"] == 80


@pytest.mark.service
def test_a_finished_run_explains_itself(tmp_path: Path) -> None:
    path, out = a_file(tmp_path, some_people()), tmp_path / "out"
    run(path, out)
    saved = Saved.open(Folder(out))
    assert saved.values("1a")["surname"] == some_people()[2].split(",")[2]
    fall = saved.fall("1b", "1a")
    assert fall.probability > 0.5
    assert saved.verdict("1b", "1a") == "same"
    found = saved.why("1a")
    assert found.records == ("1a", "1b")
    assert found.weakest is not None
    assert found.weakest.probability == pytest.approx(fall.probability)
    assert saved.fall("1a", "40b").probability < 0.5
    assert saved.ledger.resolve("1a", NOON, NOON) == saved.person("1a")
    with pytest.raises(LookupError, match="There is no record '99'"):
        saved.values("99")


@pytest.mark.service
def test_a_folder_that_was_tampered_with_is_not_believed(tmp_path: Path) -> None:
    path, out = a_file(tmp_path, some_people()), tmp_path / "out"
    run(path, out)
    with (out / store.PEOPLE).open("a") as file:
        file.write("x,y,1,,\n")
    with pytest.raises(FolderError, match="is not as its run left it"):
        Saved.open(Folder(out))


@pytest.mark.parametrize(
    ("rows", "given", "words"),
    [
        (["1,Ann,,,", "1,Bo,,,"], {}, "id '1' comes twice"),
        (["1,Ann,,,", "2,Bo,,,"], {"labels": "nobody"}, "neither a file nor a column"),
    ],
)
def test_bad_input_is_named(tmp_path: Path, rows: list[str], given: dict[str, str], words: str) -> None:
    (tmp_path / "fields.toml").write_text('id = "id"\n[fields]\n"first_name" = "given_name"\n')
    with pytest.raises(ValueError, match=words):
        run(a_file(tmp_path, rows), tmp_path / "out", fields=tmp_path / "fields.toml", **given)


def test_a_table_with_nothing_to_compare_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"No column of .* can be compared: .*every value is 'x'"):
        run(a_file(tmp_path, ["x,", "x,"], header="one,two"), tmp_path / "out")


def test_an_id_that_comes_twice_is_asked_about_and_not_numbered_over(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match="'id' seems to name the rows, but 1 of its values come more than once: '1' in rows 1 and 3"
    ):
        run(a_file(tmp_path, ["1,Ann,Lee,,", "2,Bo,Li,,", "1,Ann,Lee,,"]), tmp_path / "out")
