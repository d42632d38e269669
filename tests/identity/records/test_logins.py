"""Log-ins as weak labels: what they teach, and that a second log-in of one person teaches nothing wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from whence.identity.records import fields, logins
from whence.identity.records.resolve import resolve
from whence.identity.records.table import Evidence, Pairs, Records
from whence.world.registers import register


def logged(names: list[str | None]) -> Records:
    codes = {name: code for code, name in enumerate(sorted({name for name in names if name}))}
    held = np.array([codes[name] if name else -1 for name in names], dtype=np.int32)
    return Records(tuple(f"{row:03d}" for row in range(len(names))), (), login=held)


def test_rows_of_one_log_in_are_one_person_each_with_the_next() -> None:
    assert logins.together(logged(["x", None, "y", "x", "x"])) == {("000", "003"): True, ("003", "004"): True}
    assert logins.together(Records(("a",), ())) == {}


def test_two_log_ins_that_look_like_one_person_are_no_label() -> None:
    names = [f"u{row // 2}" for row in range(60)]
    apart = [(2 * row, 2 * ((row + 7) % 30) + 1) for row in range(30)]
    ends = np.array(
        sorted([(2 * row, 2 * row + 1) for row in range(30)] + [(min(a, b), max(a, b)) for a, b in apart]), dtype=np.int32
    )
    pairs = Pairs(ends[:, 0], ends[:, 1])
    same = pairs.left // 2 == pairs.right // 2
    evidence = Evidence(("name:likeness",), same[:, None].astype(np.float32))
    found = logins.fit(logged(names), pairs, evidence, np.where(same, 3.0, -3.0))
    assert found is not None
    assert found[1] == 60
    assert (found[0].log_odds(evidence)[same] > 0).all()
    assert logins.fit(logged(names), pairs, evidence, np.full(60, 3.0)) is None


def test_a_log_in_that_is_compared_as_well_is_refused(tmp_path: Path) -> None:
    (tmp_path / "fields.toml").write_text('login = "account"\n[fields]\naccount = "code"\n')
    with pytest.raises(ValueError, match="is the log-in"):
        fields.read(tmp_path / "fields.toml")


@pytest.mark.service
def test_log_ins_of_which_some_people_have_two_do_no_harm() -> None:
    table, draw = register(1500), np.random.default_rng(3)
    person = table["person"].to_pylist()
    names = [f"u{who}{'b' * int(draw.random() < 0.05)}" if draw.random() < 0.3 else None for who in person]
    bare = table.drop_columns(["person"]).append_column("account", pa.array(names, pa.string()))
    chosen = fields.guess(table.drop_columns(["person"]))
    found = resolve(bare, replace(chosen, login="account"))
    assert "log-ins" in found.basis
    whose = dict(zip(table[chosen.id or ""].to_pylist(), person, strict=True))
    truth = np.unique([whose[name] for name in found.records.ids], return_inverse=True)[1]
    joined = np.unique(np.stack([found.people, truth]), axis=1).shape[1]
    assert joined < 1.08 * len(np.unique(truth))
    assert len(np.unique(found.people)) > 0.92 * len(np.unique(truth))
