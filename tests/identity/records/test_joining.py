"""Rows join the people of a folder: as a rebuild would have it, twice, cut off, and what cannot join is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pytest
from typer.testing import CliRunner

from infra.commands import app
from tests.identity.records.test_publish import a_file, run, some_people, who
from whence.contracts.settings import Settings
from whence.identity.ledger import Limits
from whence.identity.records import incremental, joining, publish, review, store
from whence.identity.records.incremental import StateError
from whence.identity.records.joining import join
from whence.identity.records.publish import FuseError, Outcome, Request
from whence.identity.records.review import Label
from whence.identity.records.store import Folder, FolderError
from whence.world.registers import register

NOON = datetime(2026, 5, 2, 12, tzinfo=UTC)
RECORDS, NEW = 3000, 30


def joined(path: Path, out: Path, *, hours: int = 0, **given: object) -> Outcome:
    return join(Request((path,), out, is_join=True, **given), NOON + timedelta(hours=hours))  # type: ignore[arg-type]


def contents(out: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file() and path.name != store.LOCK
    }


@dataclass(frozen=True)
class Strict(Limits):
    """A fuse that stops early."""

    max_identifiers: int = 20


def groups(people: Mapping[str, object]) -> set[frozenset[str]]:
    members: dict[object, set[str]] = {}
    for record, person in people.items():
        members.setdefault(person, set()).add(record)
    return {frozenset(each) for each in members.values()}


def people(state: incremental.State) -> dict[str, int]:
    found = state.people()
    return dict(zip(found["record_id"].to_pylist(), found["person"].to_pylist(), strict=True))


def the_state(out: Path) -> incremental.State:
    return incremental.load(next((out / joining.JOINED).iterdir()))


@pytest.fixture(scope="module")
def resolved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("resolved")
    run(a_file(folder, some_people()), folder / "out")
    return folder / "out"


@pytest.fixture
def out(resolved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(resolved, tmp_path / "out"))


@pytest.mark.service
def test_the_command_gives_the_people_of_a_rebuild_with_the_same_frozen_parts(tmp_path: Path) -> None:
    table, out = register(RECORDS, seed=3).drop_columns(["person"]), tmp_path / "out"
    table = table.set_column(0, "unique_id", pa.array([f"r{name}" for name in table["unique_id"].to_pylist()]))
    pyarrow.csv.write_csv(table.slice(NEW), tmp_path / "old.csv")
    pyarrow.csv.write_csv(table.slice(0, NEW), tmp_path / "new.csv")
    assert "People in" in whence("--input", str(tmp_path / "old.csv"), "--out", str(out))
    before = who(out)
    told = json.loads(whence("--input", str(tmp_path / "new.csv"), "--out", str(out), "--join", "--json"))
    assert (told["records"], told["changes"]["records new"]) == (RECORDS, NEW)
    state, rows = the_state(out), Folder(out).table(store.RECORDS)
    whole = incremental.rebuild(state.frozen, rows, state.kept())
    after = who(out)
    assert groups(people(whole)) == groups(after)
    assert state.pairs()[1].round(9).tolist() == whole.pairs()[1].round(9).tolist()
    assert sum(after[record] == person for record, person in before.items()) > 0.97 * len(before)
    kept = contents(out)
    assert "Nothing has changed" in whence("--input", str(tmp_path / "new.csv"), "--out", str(out), "--join")
    assert contents(out) == kept


def whence(*words: str) -> str:
    found = CliRunner().invoke(app, ["resolve", *words], obj=Settings(home=Path()))
    assert found.exit_code == 0, found.output
    return found.output


@pytest.mark.service
def test_rows_join_their_people_and_ids_stay(out: Path, tmp_path: Path) -> None:
    before = who(out)
    rows = some_people(64)[120:]
    outcome = joined(a_file(tmp_path, rows, "new.csv"), out)
    after = who(out)
    assert outcome.changes["records new"] == 8
    assert set(after) == set(before) | {row.split(",")[0] for row in rows}
    assert sum(after[record] == person for record, person in before.items()) >= 0.97 * len(before)
    again = joined(a_file(tmp_path, some_people(66)[120:], "later.csv"), out, hours=1)
    assert again.changes["records new"] == 4
    assert json.loads((out / store.RUN).read_text())["inputs"] == ["people.csv", "new.csv", "later.csv"]
    assert groups(people(the_state(out))) == groups(who(out))


@pytest.mark.service
def test_a_join_of_rows_that_are_there_changes_nobody(out: Path, tmp_path: Path) -> None:
    before, ledger = who(out), (out / store.LEDGER).read_bytes()
    outcome = joined(a_file(tmp_path, some_people(5), "new.csv"), out)
    assert (outcome.changes, outcome.pairs) == ({}, 0)
    assert (who(out), (out / store.LEDGER).read_bytes()) == (before, ledger)


@pytest.mark.service
def test_what_people_said_stays_and_later_answers_wait(out: Path, tmp_path: Path) -> None:
    said = [Label("1a", "1b", "different", "Ada", NOON), Label("2a", "40a", "same", "Ada", NOON)]
    review.append(out / store.LABELS, said)
    run(a_file(tmp_path, some_people()), out, hours=1)
    outcome = joined(a_file(tmp_path, some_people(62)[120:], "new.csv"), out)
    assert (who(out)["1a"] == who(out)["1b"], who(out)["2a"] == who(out)["40a"]) == (False, True)
    assert not any("wait for" in note for note in outcome.notes)
    review.append(out / store.LABELS, [Label("3a", "3b", "different", "Ada", NOON)])
    outcome = joined(a_file(tmp_path, some_people(63)[124:], "later.csv"), out, hours=1)
    assert any(note.endswith("`whence resolve` with all rows: 1.") for note in outcome.notes)
    assert who(out)["1a"] != who(out)["1b"]


@pytest.mark.service
def test_a_folder_that_nothing_can_join_is_named(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = a_file(tmp_path, some_people(62)[120:], "new.csv")
    with monkeypatch.context() as patch:
        patch.setattr(joining, "SCORERS", {})
        with pytest.raises(StateError, match="judges a pair by others, too"):
            joined(path, out)
    joined(path, out)
    shutil.rmtree(out / joining.JOINED)
    with pytest.raises(FolderError, match="is gone, which earlier joins left"):
        joined(path, out)
    told = json.loads((out / store.RUN).read_text())
    (out / store.RUN).write_text(json.dumps(told | {"plan": None}))
    with pytest.raises(FolderError, match="was made before rows could join"):
        joined(path, out)


@pytest.mark.service
def test_new_rows_are_judged_by_a_model_of_words_where_the_run_had_one(tmp_path: Path) -> None:
    """Labels and texts together give such a model; it takes other evidence than the others."""
    texts = [
        f"{row},{'blue' if at // 2 % 2 else 'red'} model {at // 2} of the {at // 2 % 7} series"
        for at, row in enumerate(some_people(64))
    ]
    rows = [f"{row},{row.split(',')[0][:-1]}" for row in texts]
    header, out = "id,first_name,surname,dob,email,note,who", tmp_path / "out"
    kinds = '"surname" = "surname"\n"dob" = "date"\n"note" = "text"\n'
    (tmp_path / "fields.toml").write_text(f'id = "id"\nlabel = "who"\n[fields]\n{kinds}')
    run(a_file(tmp_path, rows[:120], header=header), out, fields=tmp_path / "fields.toml")
    assert json.loads((out / store.SCORER).read_text())["kind"] == "worded"
    assert joined(a_file(tmp_path, rows[120:], "new.csv", header=header), out).changes["records new"] == 8
    assert sum(who(out)[f"{at}a"] == who(out)[f"{at}b"] for at in range(60, 64)) >= 3


@pytest.mark.service
def test_a_join_that_was_cut_off_is_mended_by_running_it_again(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, whole = a_file(tmp_path, some_people(63)[120:], "new.csv"), Path(shutil.copytree(out, tmp_path / "whole"))
    joined(path, whole)

    def killed(*_: object) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(publish, "replaced", killed)
        with pytest.raises(KeyboardInterrupt):
            joined(path, out)
    with pytest.raises(FolderError, match="cut off"):
        joined(a_file(tmp_path, some_people(65)[126:], "later.csv"), out, hours=1)
    joined(path, out, hours=1)
    assert groups(who(out)) == groups(who(whole))
    assert (out / store.LEDGER).read_bytes() == (whole / store.LEDGER).read_bytes()


@pytest.mark.service
def test_what_cannot_join_is_named_and_nothing_is_written(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(out)
    rows = some_people(61)
    changed = rows[3].replace(rows[3].split(",")[1], "Zoe")
    with pytest.raises(StateError, match="Record 1b is there already, with another first_name"):
        joined(a_file(tmp_path, [changed, *rows[120:]], "new.csv"), out)
    with pytest.raises(StateError, match=r"new\.csv lacks surname, dob, email; it has id, first_name"):
        joined(a_file(tmp_path, ["99a,Ann"], "new.csv", header="id,first_name"), out)
    with pytest.raises(ValueError, match="--labels would change nothing"):
        joined(a_file(tmp_path, rows[120:], "new.csv"), out, labels="person")
    with pytest.raises(FolderError, match="holds no finished run"):
        joined(a_file(tmp_path, rows[120:], "new.csv"), tmp_path / "nothing")
    crowd = [f"x{at},{rows[0].split(',', 1)[1]}" for at in range(45)]
    monkeypatch.setattr(publish, "Limits", Strict)
    with pytest.raises(FuseError, match="Not published"):
        joined(a_file(tmp_path, crowd, "new.csv"), out)
    assert joined(a_file(tmp_path, rows[120:], "new.csv"), out, is_dry=True).changes["records new"] == 2
    assert contents(out) == before


@pytest.mark.service
def test_rows_of_a_source_join_it_and_others_are_asked_for_theirs(tmp_path: Path) -> None:
    rows, out = some_people(), tmp_path / "out"
    crm, web = (
        a_file(tmp_path, rows[::2], "crm.csv"),
        a_file(tmp_path, [row.replace("b,", ",", 1) for row in rows[1::2]], "web.csv"),
    )
    publish.publish(Request((crm, web), out), NOON - timedelta(days=1))
    new = [row.replace("b,", ",", 1) for row in some_people(62)[121::2]]
    with pytest.raises(
        StateError, match=r"tells sources apart by 'source', and new\.csv does not say which rows are of crm or web"
    ):
        joined(a_file(tmp_path, new, "new.csv"), out)
    (tmp_path / "day").mkdir()
    assert joined(a_file(tmp_path / "day", new, "web.csv"), out).changes["records new"] == 2
    assert Folder(out).table(store.RECORDS)["source"].to_pylist().count("web") == 62


def test_join_wants_a_folder(tmp_path: Path) -> None:
    found = CliRunner().invoke(app, ["resolve", "--input", "x.csv", "--join"], obj=Settings(home=tmp_path))
    assert found.exit_code == 1
    assert "Give the folder that `whence resolve` wrote with --out FOLDER" in found.stderr


@pytest.mark.service
def test_pairs_left_apart_for_a_word_wait_for_a_person_after_joins_too(tmp_path: Path) -> None:
    sorts = [f"{a}{b}" for a in ("bal", "fid", "mor", "tev", "hus", "qui") for b in ("ona", "ire", "usk", "ept", "olm", "ady")]
    rows = [f"{sort}-{size},{sort} bolt m{size},{sort} works,{len(sort)}.99" for sort in sorts for size in (4, 6)]
    header, out = "id,description,maker,price", tmp_path / "out"
    run(a_file(tmp_path, rows, header=header), out)
    left_apart = asked(out)
    assert left_apart
    for number in (1, 2):
        new = [f"new-{number},zzgol bolt m{number},zzgol works,8.99"]
        outcome = joined(a_file(tmp_path, new, f"new-{number}.csv", header=header), out, hours=number)
        assert asked(out) == left_apart
        assert outcome.to_review == len(left_apart)
    review.append(out / store.LABELS, [Label("balona-4", "balona-6", "different", "Ada", NOON)])
    joined(a_file(tmp_path, ["new-3,zzkup bolt m3,zzkup works,8.99"], "new-3.csv", header=header), out, hours=3)
    assert asked(out) == {pair: why for pair, why in left_apart.items() if pair != ("balona-4", "balona-6")}


def asked(out: Path) -> dict[tuple[str, str], str]:
    """Why a person is asked about each pair."""
    rows = pyarrow.csv.read_csv(out / store.REVIEW).to_pylist()
    return {(each["left_id"], each["right_id"]): each["why"] for each in rows}
