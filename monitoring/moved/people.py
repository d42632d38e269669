"""Who is who as known on another day than the rows are of: what was known then counts, and what nobody had met yet comes with the rows."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import TYPE_CHECKING

import pandas as pd

from whence.contracts.times import Window

if TYPE_CHECKING:
    from whence.lake import Lake

COLUMNS = ["identifier", "person_id", "probability"]
_SAID = "SELECT day, identifier, person_id, probability FROM persons"
_EXACT = (
    "SELECT day, identifier, person_id, 1.0 AS probability FROM persons WHERE method = 'exact' "
    "UNION ALL SELECT day, identifier, person_id, 1.0 FROM exact_persons"
)


def known(lake: Lake, last: date, *, exactly: bool = False) -> pd.DataFrame:
    """The answer for each identifier as of the end of `last`: COLUMNS; `exactly` looks beneath ranked answers."""
    names = ("persons", "exact_persons") if exactly else ("persons",)
    days = [date.fromisoformat(day) for name in names for day in lake.days(name)]
    newest = "QUALIFY row_number() OVER (PARTITION BY identifier ORDER BY day DESC) = 1"
    with lake.connect(Window(min([*days, last]), last), *names) as con:
        query = f"SELECT {', '.join(COLUMNS)} FROM ({_EXACT if exactly else _SAID}) {newest} ORDER BY identifier"
        found: pd.DataFrame = con.sql(query).df()
    return found.astype({"identifier": object, "person_id": object})


def mixed(then: pd.DataFrame, since: pd.DataFrame, carried: Iterable[str] | None = None) -> pd.DataFrame:
    """Who is who by what was known `then`, for rows of a later day; both have COLUMNS, an identifier once.

    An identifier that nobody had met `then` has no answer there: it came with the rows. It keeps the answer of `since`, under the
    name that its person had `then` (the one with most of the person's identifiers). `carried` are the identifiers of the rows;
    what was met since, and is on none of them, was not known `then`.

    >>> then = pd.DataFrame({"identifier": ["a", "b"], "person_id": ["p", "q"], "probability": 1.0})
    >>> since = pd.DataFrame({"identifier": ["a", "b", "c"], "person_id": ["p", "p", "p"], "probability": 1.0})
    >>> mixed(then, since)["person_id"].tolist()
    ['p', 'q', 'p']
    """
    new = since[~since["identifier"].isin(then["identifier"])]
    if carried is not None:
        new = new[new["identifier"].isin(set(carried))]
    went = _names_then(then, since)
    person = new["person_id"].map(went)
    named = new.assign(person_id=person.where(person.notna(), new["person_id"]))
    return pd.concat([then[COLUMNS], named[COLUMNS]] if len(then) else [named[COLUMNS]], ignore_index=True)


def differ(then: pd.DataFrame, since: pd.DataFrame) -> bool:
    """Whether an identifier that was known `then` has another answer by `since`."""
    both = then.merge(since, on="identifier", how="left", suffixes=("", "_since"))
    same = both["person_id"].eq(both["person_id_since"]) & both["probability"].eq(both["probability_since"])
    return not bool(same.all())


def _names_then(then: pd.DataFrame, since: pd.DataFrame) -> dict[str, str]:
    """Each person of `since` that was known `then`, to the name that most of its identifiers had."""
    both = then.merge(since, on="identifier", suffixes=("", "_since"))
    counted = both.groupby(["person_id_since", "person_id"]).size().rename("n").reset_index()
    first = counted.sort_values(["n", "person_id"], ascending=[False, True]).drop_duplicates("person_id_since")
    return dict(zip(first["person_id_since"], first["person_id"], strict=True))
