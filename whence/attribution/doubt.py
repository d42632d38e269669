"""How sure each campaign's credit is: intervals from resampling people and who is who, and the revenue at identity risk.

Two questions have two intervals. What would other people of the same kind have brought, had we known each of them? That is
`low` to `high`: it is about what may be expected of the campaign. And what did these very people bring, had we known each of
them? That is `identity_low` to `identity_high`: it is about the statement, and without uncertain links it is the statement.

Identity is resampled by partitions: each anonymous person is, in each draw, one of those whom it may be or nobody known, by
calibrated probabilities. Every draw is a set of journeys as they may have been; the mean over draws is what to expect
(`expected_micros`), and how draws differ is what not knowing leaves open. People are resampled by the Poisson bootstrap, which
for a sum needs no drawing: its variance is the sum of squares of what people bring, on average over partitions of who is one.
Of the mean over draws that is the whole variance: with the probabilities given, not knowing makes the mean less variable than
the credit itself (the law of total variance), and adding the variance between draws would give intervals that cover too much.
What is learned from the same people, namely what journeys say about links, adds its part by its influence on each campaign.

What is not covered: probabilities whose calibration is off, exact links that are wrong, candidates that were never compared,
two anonymous persons who are one without anybody knowing either, orders whose cool-down or newness another partition would
change, counts of ghosts, and algorithms whose models another partition would fit otherwise. What journeys say about links is
learned without labels, and only roughly: with very many people, intervals are narrow, and the mean is off by a part of them
that matters (the bench says by how much).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from whence.attribution import places, possible
from whence.attribution.credit import NO_AD
from whence.attribution.partitions import Evidence, evidence
from whence.attribution.policy import Policy
from whence.attribution.possible import Told
from whence.attribution.resampling import Case, learn, resample
from whence.attribution.sums import Totals, added, interval

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Marks = npt.NDArray[np.bool_]
Share = Callable[[pd.DataFrame], pd.Series]
"""Pairs, with their places on the path, to the share of each."""

PLACE = ("campaign_id", "channel")
DRAWS = 100
SEED = 7
NORMAL = 1.959964


def from_credits(credits: pd.DataFrame, by: Sequence[str] = PLACE, draws: int = DRAWS, seed: int = SEED) -> pd.DataFrame:
    """Intervals from stored credit alone: rows of `credits` of one algorithm, current versions, of a report's days.

    Touches of a person that have one certainty below 1 came over one link. In each draw a link holds with its certainty;
    where it does not, its touches lose their credit to the other touches of the journey that were paid, in proportion, or to
    no ad. A row a currency and key, in whole micros: credit_micros (as stated), expected_micros, low_micros, high_micros,
    identity_low_micros, identity_high_micros, at_risk_micros (what of the credit is expected to rest on links that are not
    so), and people, how many earned it.

    Cheap, and covers less than `from_partitions`: links that were missed are not in stored credit, so that draws can only
    take away, and touches that earned nothing cannot take over. Therefore the ends lie around the credit as stated, as if
    false and missed links weighed the same, and both variances are added.
    """
    rows = _stored(credits)
    cells = _Cells.of(rows, by)
    amounts, units = rows["credit_micros"].to_numpy(dtype=np.float64), rows["unit"].to_numpy(dtype=np.int64)
    stated, drawn = Totals.none(len(cells.keys)), Totals.none(len(cells.keys))
    stated.add(units, cells.codes, amounts)
    is_ad = (rows["touch_id"] != NO_AD).to_numpy()
    at_stake = rows["conversion_id"].isin(rows.loc[is_ad & (rows["certainty"] < 1), "conversion_id"]).to_numpy()
    drawn.add(units[~at_stake], cells.codes[~at_stake], amounts[~at_stake])
    case = _paid(rows, cells, is_ad & at_stake)
    alive = _links_hold(case.pairs, draws, np.random.default_rng(seed))
    for rows_of, block in case.blocks(draws):
        resample(block, alive[rows_of], _pass_on, drawn)
    at_risk = added(cells.codes, amounts * (1 - rows["certainty"].to_numpy()), len(cells.keys))
    return _table(cells, stated.sums, at_risk, drawn, interval(stated, stated.variance + drawn.between), stated.sums)


def from_partitions(
    conversions: pd.DataFrame,
    touches: pd.DataFrame,
    options: pd.DataFrame,
    policy: Policy,
    share: Share,
    *,
    by: Sequence[str] = PLACE,
    activity: pd.DataFrame | None = None,
    draws: int = DRAWS,
    seed: int = SEED,
    is_informed: bool = True,
) -> pd.DataFrame:
    """Intervals from partitions drawn anew: people are put together, journeys joined and shares computed for each.

    `conversions` and `touches` are as journeys.candidate_touches takes them, with `unit` in place of person_id: the person by
    exact links alone, None where nobody knows. `conversions` also has value_micros (net of refunds where there are some),
    currency, and perhaps `pays`. `options` has owner (unit of an anonymous person), target, probability (calibrated; all
    candidates that were compared, also those that were not linked, for else missed links are missing) and is_linked (the
    links that were taken: they make the credit as stated). `activity` has `unit` in place of person_id, too. `share` is the
    algorithm, as `lambda pairs: rules.share(pairs, "last_touch", policy)`. Rows and columns as in `from_credits`.

    Only conversions that an uncertain link could reach are computed anew, and each of their journeys once for all draws in
    which it is the same. Before drawing, probabilities learn what the journeys say (partitions.evidence) unless `is_informed`
    is False, as where they know the journeys already.
    """
    told = possible.pairs_told(conversions, touches, options, policy, activity)
    cells = _Cells.of(pd.concat([told.pairs, told.bought.assign(campaign_id=NO_AD, channel=NO_AD)], ignore_index=True), by)
    kind = possible.kinds(told)
    said = evidence(told.options, kind, int(kind.max(initial=0)) + 1) if is_informed else Evidence.none(told.options)
    informed = told.options.likely(said.probability)
    chosen = informed.draw(draws, np.random.default_rng(seed))
    totals = Totals.none(len(cells.keys), informed.people, said.influence)
    stated, at_risk = _outright(told, cells, policy, share, totals)
    case = _open(told, cells)
    for rows_of, block in case.blocks(draws):
        drawn = resample(block, told.alive(chosen, rows_of), _on_journeys(policy, share), totals)
        learn(drawn, told.options, chosen, kind, totals)
    return _table(cells, stated, at_risk, totals, interval(totals, totals.variance + totals.between / draws), totals.sums)


@dataclass(frozen=True)
class _Cells:
    """The rows of the result: a currency and a key each."""

    keys: pd.DataFrame
    codes: Ints
    """The cell of each row that they were made of."""

    @classmethod
    def of(cls, rows: pd.DataFrame, by: Sequence[str]) -> _Cells:
        names = ["currency", *by]
        nobody = rows[["currency"]].drop_duplicates().assign(**dict.fromkeys(by, NO_AD))
        both = pd.concat([rows[names], nobody[names]], ignore_index=True)
        grouped = both.groupby(names, sort=True)
        keys = grouped.size().index.to_frame(index=False)
        return cls(keys, np.asarray(grouped.ngroup().to_numpy(dtype=np.int64)[: len(rows)]))

    def no_ad(self, currency: pd.Series) -> Ints:
        """The cell of what no ad earned in each currency."""
        place = self.keys[(self.keys.drop(columns="currency") == NO_AD).all(axis=1)]
        return np.asarray(currency.map(pd.Series(place.index, index=place["currency"])).to_numpy(dtype=np.int64))


def _outright(told: Told, cells: _Cells, policy: Policy, share: Share, totals: Totals) -> tuple[Floats, Floats]:
    """Credit as stated by cell, and what of it is at identity risk; what no link decides about is added to `totals`."""
    options, value = told.options, told.bought["value_micros"].to_numpy(dtype=np.float64)
    cell, nobody = cells.codes[: len(told.pairs)], cells.no_ad(told.bought["currency"])
    unit = told.bought["unit"].to_numpy(dtype=np.int64)
    who, sure = options.stated()
    is_paid = told.is_sure | (who[told.sides[:, 0]] == who[told.sides[:, 1]])
    share_of = np.zeros(len(told.pairs))
    share_of[is_paid] = _on_journeys(policy, share)(told.pairs[is_paid].reset_index(drop=True))
    credit = share_of * value[told.conversion]
    rest = value - np.bincount(told.conversion, credit, len(value))
    doubt = np.where(told.is_sure, 0.0, 1 - sure[told.sides[:, 0]] * sure[told.sides[:, 1]])
    is_closed = ~told.is_open
    closed_pairs = is_closed[told.conversion]
    totals.add(unit[told.conversion[closed_pairs]], cell[closed_pairs], credit[closed_pairs])
    totals.add(unit[is_closed], nobody[is_closed], rest[is_closed])
    n = len(cells.keys)
    return added(cell, credit, n) + added(nobody, rest, n), added(cell, credit * doubt, n)


def _open(told: Told, cells: _Cells) -> Case:
    rows, bought = told.rows, told.bought[told.is_open]
    return Case(
        told.pairs[rows],
        np.unique(told.conversion[rows], return_inverse=True)[1].astype(np.int64),
        cells.codes[: len(told.pairs)][rows],
        bought["unit"].to_numpy(dtype=np.int64),
        bought["island"].to_numpy(dtype=np.int64),
        bought["value_micros"].to_numpy(dtype=np.float64),
        cells.no_ad(bought["currency"]),
    )


def _on_journeys(policy: Policy, share: Share) -> Callable[[pd.DataFrame], Floats]:
    """Shares of the pairs of a partition: what the policy lays on a whole journey is laid on it here."""

    def shares(pairs: pd.DataFrame) -> Floats:
        kept = pairs
        if policy.click_over_view:
            is_click = kept["touch_kind"] == places.CLICK
            kept = kept[is_click | ~kept["conversion_id"].isin(kept.loc[is_click, "conversion_id"])]
        kept = places.numbered(kept)
        kept = places.numbered(kept[kept["from_last"] < policy.max_touches])
        found = share(kept).reindex(pairs.index, fill_value=0.0) if len(kept) else pd.Series(0.0, index=pairs.index)
        return np.asarray(found.to_numpy(dtype=np.float64))

    return shares


def _stored(credits: pd.DataFrame) -> pd.DataFrame:
    """The rows with `unit` (who converted, a conversion alone where nobody knows), `value` and a certainty each; by unit."""
    value = credits.groupby("conversion_id")["credit_micros"].transform("sum").astype("float64")
    person = credits["person_id"].astype(object).where(credits["person_id"].notna(), "?" + credits["conversion_id"])
    certainty = credits["certainty"].astype("float64").fillna(1.0)
    rows = credits.assign(unit=person.groupby(person).ngroup().to_numpy(), value=value, certainty=certainty)
    return rows.sort_values(["unit", "conversion_id", "touch_id"], ignore_index=True)


def _paid(rows: pd.DataFrame, cells: _Cells, is_in: Marks) -> Case:
    paid = rows[is_in]
    paid = paid.assign(ads=paid.groupby("conversion_id")["credit_micros"].transform("sum"))
    of = paid.drop_duplicates("conversion_id")
    return Case(
        paid.reset_index(drop=True),
        pd.factorize(paid["conversion_id"])[0].astype(np.int64),
        cells.codes[is_in],
        of["unit"].to_numpy(dtype=np.int64),
        of["unit"].to_numpy(dtype=np.int64),
        of["value"].to_numpy(dtype=np.float64),
        cells.no_ad(of["currency"]),
    )


def _links_hold(paid: pd.DataFrame, draws: int, rng: np.random.Generator) -> Marks:
    """Of each row (a touch that was paid) and draw: whether the link that it came over holds."""
    link = paid.groupby(["unit", "certainty"]).ngroup().to_numpy()
    certainty = paid.groupby(["unit", "certainty"]).size().index.get_level_values("certainty").to_numpy(dtype=np.float64)
    holds: Marks = (rng.random((len(certainty), draws)) < certainty[:, None])[link] if len(paid) else np.zeros((0, draws), bool)
    return holds


def _pass_on(paid: pd.DataFrame) -> Floats:
    """Shares of the touches that are left: all that was paid on the journey, in proportion to what they had."""
    left = paid.groupby("conversion_id")["credit_micros"].transform("sum").to_numpy(dtype=np.float64)
    whole = left * paid["value"].to_numpy(dtype=np.float64)
    share = (paid["credit_micros"] * paid["ads"]).to_numpy(dtype=np.float64)
    return np.asarray(np.divide(share, whole, out=np.zeros(len(paid)), where=whole != 0))


def _table(
    cells: _Cells, stated: Floats, at_risk: Floats, drawn: Totals, interval: tuple[Floats, Floats], centre: Floats
) -> pd.DataFrame:
    wide = NORMAL * np.sqrt(drawn.between)
    micros = {
        "credit_micros": stated,
        "expected_micros": drawn.sums,
        "low_micros": interval[0],
        "high_micros": interval[1],
        "identity_low_micros": centre - wide,
        "identity_high_micros": centre + wide,
        "at_risk_micros": at_risk,
    }
    whole = {name: np.rint(values).astype(np.int64) for name, values in micros.items()}
    return cells.keys.assign(**whole, people=drawn.count)
