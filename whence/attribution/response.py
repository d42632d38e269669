"""Credit by what would not have happened: a model of conversion on exposures, asked again with exposures taken away.

The model sees at a moment of a person's life what was shown to them, what could have been shown (ghosts of experiments
counted in), and what was known of them before any of it. For a conversion, the exposures of each stream (a campaign, or
a channel where there are many) are taken away, the opportunities are kept, and the rate of converting is asked again:
the Shapley value of a stream in that rate, over the rate as it was, is the probability that it made the difference.
What remains is of no ad.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import comb
from typing import Any, Protocol
from urllib.parse import quote, unquote

import numpy as np
import numpy.typing as npt
import pandas as pd

from whence.calibration import Calibrator
from whence.calibration import fit as fit_calibrator
from whence.contracts.models import FeatureSchema
from whence.encoding import encode

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

VIEWS = ("person_features",)
"""The feature views read for a moment, as known `LOOK_BACK_DAYS` before it: before every exposure that is looked at."""
COPIED = {
    "person_identifiers": "person_features__identifiers",
    "person_logins_7d": "person_features__logins_7d",
    "person_touches_7d": "person_features__touches_7d",
    "person_clicks_7d": "person_features__clicks_7d",
    "person_conversions_14d": "person_features__conversions_14d",
    "person_mean_hour": "person_features__mean_hour",
}
LOOK_BACK_DAYS = 7.0
FADINGS: Mapping[str, tuple[float, float]] = {
    "soon": (0.25, LOOK_BACK_DAYS),
    "long": (3.0, LOOK_BACK_DAYS),
    "all": (float("inf"), 28.0),
}
"""How exposures are counted: the half-life and the look-back, in days."""
PASSING = ("soon", "long")
"""For moments of a life: what was hours ago fades within a day, what was days ago within the week."""
WHOLE = ("all",)
"""For a journey that is judged as a whole: every exposure counts as one."""
GHOST = "eligible"
MOST_STREAMS = 30
"""Streams with columns of their own, the most frequent ones; with more campaigns than that, streams are channels."""
EXACT = 8
"""Up to so many streams in a journey every coalition is asked; beyond, twice as many orders as there are streams."""
MOST_TOUCHES = 200
"""Of a person's touches in the look-back the latest so many are counted."""
ROWS_AT_ONCE = 50_000
PARAMETERS: Mapping[str, Any] = {
    "objective": "binary",
    "num_leaves": 16,
    "learning_rate": 0.05,
    "min_data_in_leaf": 50,
    "lambda_l2": 5.0,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}
ROUNDS = 250
SMALLEST = 1e-9
"""A count below this is rounding, and is 0: to a tree a hair above 0 is as good as 1."""


class Scores(Protocol):
    """What a model must answer: whence.bundle.Scorer does, and so does Learned."""

    @property
    def schema(self) -> FeatureSchema:
        """The model's inputs."""

    def score(self, frame: pd.DataFrame | Mapping[str, Any]) -> tuple[Floats, Floats]:
        """Raw scores and calibrated probabilities, one a row."""


@dataclass(frozen=True)
class Columns:
    """Which streams have columns, and how exposures fade in them."""

    by: str
    """campaign_id or channel: what a stream is."""
    shown: tuple[tuple[str, str], ...]
    """(stream, kind of touch)."""
    offered: tuple[str, ...]
    """Streams with an experiment, whose opportunities are known of the people who were held out, too."""
    fadings: tuple[str, ...] = PASSING
    """Of FADINGS."""

    @property
    def look_back(self) -> float:
        """How many days back exposures are looked at."""
        return max((FADINGS[fading][1] for fading in self.fadings), default=0.0)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names in order: shown.<fading>.<kind>.<stream>, then offered.<fading>.<stream>."""
        seen = [column_name(self.by, "shown", fading, kind, stream) for fading in self.fadings for stream, kind in self.shown]
        return (*seen, *(column_name(self.by, "offered", fading, stream) for fading in self.fadings for stream in self.offered))


def columns_of(touches: pd.DataFrame, fadings: tuple[str, ...] = PASSING) -> Columns:
    """The columns that a model of these touches needs.

    A stream's opportunities are a column only where somebody was held out of it: elsewhere what was offered is what was
    shown, and the model could not tell what to keep when exposures are taken away.
    """
    named = touches.dropna(subset="campaign_id")
    by = "campaign_id" if 0 < named["campaign_id"].nunique() <= MOST_STREAMS else "channel"
    told = touches.dropna(subset=by)
    top = sorted(told[by].value_counts().sort_index().sort_values(ascending=False, kind="stable").index[:MOST_STREAMS])
    told = told[told[by].isin(top)]
    pairs = told.loc[told["kind"] != GHOST, [by, "kind"]].drop_duplicates()
    shown = tuple(sorted((str(stream), str(kind)) for stream, kind in pairs.itertuples(index=False)))
    offered = tuple(sorted(str(stream) for stream in told.loc[told["kind"] == GHOST, by].unique()))
    return Columns(by, shown, offered, fadings)


def columns_named(names: Sequence[str]) -> Columns:
    """The columns that a model was trained on, read from its inputs' names."""
    parts = [_parts(name) for name in names if name.startswith(("shown.", "offered."))]
    shown = sorted({(p[4], p[3]) for p in parts if p[0] == "shown"})
    offered = sorted({p[3] for p in parts if p[0] == "offered"})
    by = parts[0][1] if parts else "channel"
    used = {p[2] for p in parts}
    return Columns(by, tuple(shown), tuple(offered), tuple(name for name in FADINGS if name in used))


def frame(moments: pd.DataFrame, touches: pd.DataFrame, columns: Columns, covariates: pd.DataFrame) -> pd.DataFrame:
    """The model's inputs at each moment: exposures and opportunities as in `columns`, then the covariates; index as in `moments`.

    `moments` has person_id, happened_at and, where later touches may be unknown, known_by; `touches` person_id, happened_at,
    seen_at, kind, campaign_id and channel; `covariates` row by row what was known before.
    """
    counts = _counts(_met(moments, touches, columns), columns, len(moments))
    exposures = pd.DataFrame(counts, columns=list(columns.names), index=moments.index)
    return pd.concat([exposures, covariates.set_axis(moments.index)], axis=1)


def covariates_of(features: pd.DataFrame) -> pd.DataFrame:
    """The covariates in a frame of `{view}__{feature}` columns; an absent feature counts as missing."""
    missing = pd.Series(np.nan, index=features.index)
    return pd.DataFrame(
        {name: pd.to_numeric(features.get(source, missing), errors="coerce").astype("float64") for name, source in COPIED.items()}
    )


def before(moments: pd.DataFrame) -> pd.DataFrame:
    """What to ask feature views for these moments: row_id, person_id, and seen_at before every exposure that is looked at."""
    at = pd.to_datetime(moments["happened_at"], utc=True) - pd.Timedelta(days=LOOK_BACK_DAYS)
    return pd.DataFrame({"row_id": np.arange(len(moments)), "person_id": moments["person_id"], "seen_at": at})


def last_channel(moments: pd.DataFrame, touches: pd.DataFrame) -> pd.Series:
    """The channel of the last ad that was shown before each moment; missing where there was none."""
    met = _met(moments, touches[touches["kind"] != GHOST], Columns("channel", (), ()))
    last = met.sort_values("days", kind="stable").drop_duplicates("row").set_index("row")["stream"]
    return last.reindex(range(len(moments))).set_axis(moments.index)


def share(
    pairs: pd.DataFrame,
    conversions: pd.DataFrame,
    touches: pd.DataFrame,
    features: pd.DataFrame,
    scorer: Scores,
    *,
    backwards: bool = False,
    factors: Mapping[str, float] | None = None,
    sampled: bool = True,
) -> tuple[pd.Series, Said]:
    """Each pair's share of its conversion, and what the model saw and said of each conversion that has a pair.

    `pairs` come from journeys.candidate_touches; `conversions` have conversion_id, person_id, happened_at and seen_at;
    `touches` are all touches of the look-back with person_id, ghosts among them; `features` are, row by row with
    `conversions`, the columns `{view}__{feature}` of VIEWS as known LOOK_BACK_DAYS before (or the covariates by name).
    Shares are never negative, and those of a conversion sum to at most 1; the rest is of no ad. A touch that no pair
    stands for (out of its window, say) keeps what it did, and its part is of no ad, too.

    Between streams credit is the Shapley value over coalitions of streams; within a stream it goes by what the rate
    would lose without each touch alone. With `backwards` touches are taken away from the last to the first instead, so
    that what two do only together is the later one's. `factors` scale each stream's credit, as lift.shrunk finds them; where
    none are given, those that the model's bundle carries.
    `sampled` says that the model learned from sampled moments, so that its odds, and not its probabilities, are in
    proportion to rates; False for a model of whole journeys, each of which is a row.
    """
    asked = conversions[conversions["conversion_id"].isin(pairs["conversion_id"])].drop_duplicates("conversion_id")
    columns = columns_named(scorer.schema.names)
    given = _given(features.loc[asked.index], scorer.schema.names)
    story = _story(pairs, asked.reset_index(drop=True), touches, columns)
    inputs = pd.DataFrame(story.full, columns=list(columns.names)).join(given.reset_index(drop=True))
    raw, probability = scorer.score(inputs)
    said = Said(asked[["conversion_id", "seen_at"]].set_axis(["subject", "made_at"], axis=1), inputs, raw, probability)
    if not len(pairs):
        return pd.Series(dtype="float64", index=pairs.index), said
    rate = _rate(scorer, columns, given, sampled=sampled)
    earned = _by_order(story, rate) if backwards else _by_stream(story, rate)
    scale = getattr(scorer, "about", {}).get("factors", {}) if factors is None else factors
    earned = earned * np.array([scale.get(stream, 1.0) for stream in story.streams] or [1.0])[story.stream]
    whole = np.bincount(story.row, weights=earned, minlength=len(asked))
    return pd.Series(earned / np.maximum(whole, 1.0)[story.row], index=pairs.index), said


def losses(inputs: pd.DataFrame, scorer: Scores, *, sampled: bool = True) -> pd.DataFrame:
    """The share of each row's rate that would be lost without a stream alone, all others as they were: a column a stream.

    Over conversions it sums to what an experiment with that stream measures, lift: more, over the streams, than credit
    sums to where two do the same work, and less where they need each other. `inputs` as in `frame`; index kept.
    """
    columns = columns_named(scorer.schema.names)

    def rate(rows: pd.DataFrame) -> Floats:
        chance = scorer.score(rows)[1]
        return np.asarray(chance / (1 - chance) if sampled else chance)

    whole, found = rate(inputs), {}
    for stream in _streams(columns):
        mine = [name for name in columns.names if _parts(name)[0] == "shown" and _parts(name)[4] == stream]
        left = rate(inputs.assign(**dict.fromkeys(mine, 0.0)))
        found[stream] = np.maximum(1 - left / whole, 0.0)
    return pd.DataFrame(found, index=inputs.index)


def worths(inputs: pd.DataFrame, scorer: Scores, *, sampled: bool = True) -> pd.DataFrame:
    """Each row's credit as in `share`, when every exposure may be paid for: a column a stream, the index kept."""
    columns = columns_named(scorer.schema.names)
    full = inputs[list(columns.names)].to_numpy(dtype=np.float64)
    streams = _streams(columns)
    of = _owners(columns, streams)
    lot = _lot(pd.Series(np.arange(len(inputs))), len(streams))
    given = inputs[[name for name in scorer.schema.names if name not in set(columns.names)]]
    worth, whole = _worth(_Counts(full, full * (of >= 0), lot, streams, of), _rate(scorer, columns, given, sampled=sampled))
    return pd.DataFrame(np.maximum(worth, 0.0) / whole[:, None], index=inputs.index, columns=list(streams))


@dataclass(frozen=True)
class Said:
    """What a model was asked of each conversion, and what it said."""

    subjects: pd.DataFrame
    """subject (the conversion) and made_at."""
    inputs: pd.DataFrame
    raw: Floats
    probability: Floats


@dataclass(frozen=True)
class Learned:
    """A model of conversion that was fitted here."""

    schema: FeatureSchema
    _booster: Any
    _calibrator: Calibrator

    def score(self, frame: pd.DataFrame | Mapping[str, Any]) -> tuple[Floats, Floats]:
        """Raw scores and calibrated probabilities, one a row."""
        raw = np.asarray(self._booster.predict(encode(frame, self.schema), raw_score=True), dtype=np.float64)
        return raw, np.asarray(self._calibrator.apply(raw), dtype=np.float64)


def directions(names: Sequence[str]) -> list[int]:
    """LightGBM's monotone constraints: an exposure never makes a conversion less likely, and nothing is held of the rest.

    >>> directions(("shown.channel.all.view.tv", "offered.channel.all.tv", "age"))
    [1, 0, 0]
    """
    return [int(name.startswith("shown.")) for name in names]


def crossfit(
    inputs: pd.DataFrame, label: Floats, persons: pd.Series, folds: int = 5, seed: int = 0
) -> list[tuple[Bools, Learned]]:
    """A model for each part of the people, fitted on all the others: (which rows it may be asked about, the model)."""
    part = _parts_of(persons, folds, seed)
    return [(part == fold, learn(inputs[part != fold], label[part != fold], seed)) for fold in range(folds)]


def learn(inputs: pd.DataFrame, label: Floats, seed: int = 0) -> Learned:
    """A calibrated LightGBM of the label on the inputs, whose exposures never speak against a conversion."""
    import lightgbm

    schema = FeatureSchema(tuple(inputs.columns))
    matrix = encode(inputs, schema)
    parameters = {**PARAMETERS, "seed": seed, "monotone_constraints": directions(schema.names)}
    data = lightgbm.Dataset(matrix, label, feature_name=list(schema.names), params={"verbosity": -1})
    booster = lightgbm.train(parameters, data, ROUNDS)
    raw = np.asarray(booster.predict(matrix, raw_score=True), dtype=np.float64)
    return Learned(schema, booster, fit_calibrator("platt", raw, label))


@dataclass(frozen=True)
class _Counts:
    """What conversions met, and what of it may be taken away."""

    full: Floats
    """The counts of each conversion with all its touches: conversions × columns."""
    paid: Floats
    """Of these, what may be taken away: what pairs added."""
    lot: npt.NDArray[np.uint64]
    """A number for each conversion and stream that orders the streams by lot, always the same for the same conversion."""
    streams: tuple[str, ...]
    stream_of: Ints
    """The place of each column's stream, -1 for opportunities, which are kept whatever is taken away."""


@dataclass(frozen=True)
class _Story(_Counts):
    """Conversions, and what each pair added to the counts of its conversion."""

    row: Ints
    """The conversion of each pair …"""
    stream: Ints
    """… the place of its stream in `streams`, …"""
    place: Ints
    """… the column of each of its amounts, pairs × fadings, …"""
    amount: Floats
    """… and the amounts."""
    touched_at: Ints

    def without(self, pairs: Ints) -> Floats:
        """The counts of each of these pairs' conversion without that pair alone."""
        counts = self.full[self.row[pairs]]
        np.subtract.at(counts, (np.arange(len(pairs))[:, None], self.place[pairs]), self.amount[pairs])
        return counts


Rate = Callable[[Ints, Floats], Floats]
"""The rate of converting of these conversions, given other counts than their own."""


def _story(pairs: pd.DataFrame, asked: pd.DataFrame, touches: pd.DataFrame, columns: Columns) -> _Story:
    row = pd.Series(np.arange(len(asked)), index=asked["conversion_id"]).reindex(pairs["conversion_id"]).to_numpy(dtype=np.int64)
    paid_touches = pd.DataFrame(
        {
            "row": row,
            "touch_id": pairs["touch_id"].to_numpy(),
            "kind": pairs["touch_kind"].to_numpy(),
            "stream": pairs[columns.by].to_numpy(),
            "days": pairs["hours_before"].to_numpy(dtype=np.float64) / 24,
        }
    )
    met = _met(asked, touches, columns)
    is_paid = pd.MultiIndex.from_frame(met[["row", "touch_id"]]).isin(pd.MultiIndex.from_frame(paid_touches[["row", "touch_id"]]))
    place, amount = _amounts(paid_touches, columns, "shown")
    paid = _sums(paid_touches["row"].to_numpy(), place, amount, (len(asked), len(columns.names)))
    full = _counts(met[~is_paid], columns, len(asked)) + _counts(paid_touches, columns, len(asked))
    streams = _streams(columns)
    known = {stream: at for at, stream in enumerate(streams)}
    stream = paid_touches["stream"].map(known).fillna(0).to_numpy(dtype=np.int64)
    return _Story(
        full=full,
        paid=paid,
        row=row,
        stream=stream,
        lot=_lot(asked["conversion_id"], len(streams)),
        place=place,
        amount=amount,
        touched_at=pd.to_datetime(pairs["touched_at"], utc=True).astype("datetime64[us, UTC]").astype("int64").to_numpy(),
        streams=streams,
        stream_of=_owners(columns, streams),
    )


def _rate(scorer: Scores, columns: Columns, given: pd.DataFrame, *, sampled: bool) -> Rate:
    """What a scorer says of these conversions, whose covariates are `given`, at other counts."""
    rest, names = given.to_numpy(dtype=np.float64), [*columns.names, *given.columns]

    def rate(rows: Ints, counts: Floats) -> Floats:
        filled = np.where(counts < SMALLEST, 0.0, counts)
        asked_again = pd.DataFrame(np.column_stack([filled, rest[rows]]), columns=names)
        chance = scorer.score(asked_again)[1]
        return np.asarray(chance / (1 - chance) if sampled else chance)

    return rate


def _streams(columns: Columns) -> tuple[str, ...]:
    return tuple(sorted({stream for stream, _ in columns.shown}))


def _owners(columns: Columns, streams: tuple[str, ...]) -> Ints:
    return np.array(
        [streams.index(parts[4]) if parts[0] == "shown" else -1 for parts in map(_parts, columns.names)], dtype=np.int64
    )


def _lot(conversions: pd.Series, streams: int) -> npt.NDArray[np.uint64]:
    named = pd.util.hash_array(conversions.astype(str).to_numpy(dtype=object))
    mixed = named[:, None] ^ (np.arange(streams, dtype=np.uint64) << np.uint64(40))
    return np.asarray(pd.util.hash_array(mixed.ravel()).reshape(len(named), streams), dtype=np.uint64)


def _by_stream(story: _Story, rate: Rate) -> Floats:
    """Each pair's share: of its stream's Shapley value by what the rate would lose without the pair alone."""
    worth, whole = _worth(story, rate)
    loss = np.zeros(len(story.row))
    for pairs in _batches(np.arange(len(story.row)), 1):
        loss[pairs] = whole[story.row[pairs]] - rate(story.row[pairs], story.without(pairs))
    loss = np.maximum(loss, 0.0)
    key = story.row * len(story.streams) + story.stream
    total, sizes = np.bincount(key, loss), np.bincount(key, story.amount.sum(axis=1))
    by_size = story.amount.sum(axis=1) / np.maximum(sizes[key], SMALLEST)
    part = np.where(total[key] > SMALLEST * whole[story.row], loss / np.maximum(total[key], 1e-300), by_size)
    return np.asarray(np.maximum(worth, 0.0)[story.row, story.stream] * part / whole[story.row])


def _worth(met: _Counts, rate: Rate) -> tuple[Floats, Floats]:
    """Each stream's Shapley value in the rate of each conversion, and that rate: 1 where nothing may be taken away."""
    worth, whole = np.zeros((len(met.full), len(met.streams))), np.ones(len(met.full))
    has = np.zeros(worth.shape, dtype=bool)
    for at in range(len(met.streams)):
        has[:, at] = (met.paid[:, met.stream_of == at] > 0).any(axis=1)
    size = has.sum(axis=1)
    for m in np.unique(size[size > 0]):
        for rows in _batches(np.flatnonzero(size == m), 1):
            members = np.nonzero(has[rows])[1].reshape(len(rows), m)
            members = np.take_along_axis(members, np.argsort(met.lot[rows[:, None], members], axis=1), axis=1)
            game = _game(met, rate, rows, members)
            value, whole[rows] = shapley(game, m) if m <= EXACT else sampled_shapley(game, m)
            worth[rows[:, None], members] = value
    return worth, whole


Game = Callable[[Bools], Floats]
"""The rates of each conversion when only some of its streams were shown: coalitions, one a row → conversions × coalitions."""


def _game(met: _Counts, rate: Rate, rows: Ints, members: Ints) -> Game:
    def some(coalitions: Bools) -> Floats:
        off = np.zeros((len(rows), len(coalitions), len(met.streams) + 1), dtype=bool)  # the last is of opportunities: never off
        np.put_along_axis(off, members[:, None, :], ~coalitions[None], axis=2)
        left = met.full[rows][:, None] - met.paid[rows][:, None] * off[:, :, met.stream_of]
        return rate(np.repeat(rows, len(coalitions)), left.reshape(-1, left.shape[2])).reshape(off.shape[:2])

    return lambda coalitions: np.concatenate(
        [some(coalitions[few]) for few in _batches(np.arange(len(coalitions)), len(rows))], 1
    )


def shapley(game: Game, players: int) -> tuple[Floats, Floats]:
    """Exact Shapley values of a game that is played many times at once: (rounds × players, the value of all together).

    >>> both = lambda on: on.all(axis=1, keepdims=True).T.astype(float)
    >>> shapley(both, 2)[0].tolist()
    [[0.5, 0.5]]
    """
    on = (np.arange(2**players)[:, None] >> np.arange(players)) & 1 > 0
    values = game(on)
    size = on.sum(axis=1)
    weight = np.array([1 / (players * comb(players - 1, s)) if s < players else 0.0 for s in range(players + 1)])
    found = np.zeros((len(values), players))
    for player in range(players):
        without = np.flatnonzero(~on[:, player])
        gains = values[:, without + (1 << player)] - values[:, without]
        found[:, player] = gains @ weight[size[without]]
    return found, values[:, -1]


def sampled_shapley(game: Game, players: int) -> tuple[Floats, Floats]:
    """Shapley values from the players' order, turned round so that each is in every place once, forwards and backwards.

    They sum to what exact ones sum to, and have no bias where each round of the game has its players in an order by lot.
    """
    first, all_in = np.arange(players), np.ones((1, players), dtype=bool)
    nothing, whole = game(~all_in), game(all_in)
    found = np.zeros((len(whole), players))
    for order in (np.roll(line, turn) for line in (first, first[::-1]) for turn in range(players)):
        comes = np.argsort(order)
        values = np.column_stack([nothing, game(comes < first[1:, None]), whole])
        found[:, order] += np.diff(values)
    return found / (2 * players), whole[:, 0]


def _by_order(story: _Story, rate: Rate) -> Floats:
    """Each pair's share by backwards elimination: what the rate loses when the last touch that is left is taken away."""
    order = np.lexsort((story.touched_at, story.row))
    whole = rate(np.arange(len(story.full)), story.full)
    earned = np.zeros(len(story.row))
    left, before = story.full.copy(), whole.copy()
    sizes = np.bincount(story.row, minlength=len(story.full))
    ends = np.cumsum(sizes)
    for step in range(int(sizes.max(initial=0))):
        rows = np.flatnonzero(sizes > step)
        pairs = order[ends[rows] - 1 - step]
        np.subtract.at(left, (rows[:, None], story.place[pairs]), story.amount[pairs])
        now = rate(rows, left[rows])
        earned[pairs] = np.maximum(before[rows] - now, 0.0)
        before[rows] = now
    return np.asarray(earned / whole[story.row])


def _batches(rows: Ints, size: int) -> Iterator[Ints]:
    step = max(1, ROWS_AT_ONCE // size)
    return (rows[start : start + step] for start in range(0, len(rows), step))


def _given(features: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """The covariates that the model takes, found by name or among feature views."""
    wanted = [name for name in names if not name.startswith(("shown.", "offered."))]
    copied = covariates_of(features)
    return pd.DataFrame({name: features[name] if name in features else copied[name] for name in wanted}, index=features.index)


def _met(moments: pd.DataFrame, touches: pd.DataFrame, columns: Columns) -> pd.DataFrame:
    """Each moment's touches of its person in the look-back, as known by its `known_by`: row, touch_id, kind, stream, days."""
    told = touches.dropna(subset=["person_id", columns.by]).drop_duplicates("touch_id")
    codes, _ = pd.factorize(pd.concat([moments["person_id"], told["person_id"]], ignore_index=True))
    of_moment, of_touch = codes[: len(moments)].astype(np.int64), codes[len(moments) :].astype(np.int64)
    at, then = _micros(moments["happened_at"]), _micros(told["happened_at"])
    times = np.sort(then)
    stride = len(times) + 1
    places = of_touch * stride + np.searchsorted(times, then)
    order = np.argsort(places, kind="stable")
    places = places[order]
    first = np.searchsorted(places, of_moment * stride + np.searchsorted(times, at - int(columns.look_back * 86_400e6)))
    last = np.searchsorted(places, of_moment * stride + np.searchsorted(times, at))
    first = np.where(of_moment < 0, last, np.maximum(first, last - MOST_TOUCHES))
    found = np.maximum(last - first, 0)
    row = np.repeat(np.arange(len(moments)), found)
    touch = order[np.repeat(first - np.cumsum(found) + found, found) + np.arange(len(row))]
    if "known_by" in moments and "seen_at" in told:
        is_known = _micros(told["seen_at"])[touch] < _micros(moments["known_by"])[row]
        row, touch = row[is_known], touch[is_known]
    return pd.DataFrame(
        {
            "row": row,
            "touch_id": told["touch_id"].to_numpy()[touch],
            "kind": told["kind"].to_numpy()[touch],
            "stream": told[columns.by].to_numpy()[touch],
            "days": (at[row] - then[touch]) / 86_400e6,
        }
    )


def _counts(met: pd.DataFrame, columns: Columns, rows: int) -> Floats:
    """The columns of each row: shown touches in `shown`, those and ghosts in `offered`."""
    shape, row = (rows, len(columns.names)), met["row"].to_numpy(dtype=np.int64)
    seen = _sums(row, *_amounts(met, columns, "shown"), shape)
    return np.asarray(seen + _sums(row, *_amounts(met, columns, "offered"), shape))


def _amounts(met: pd.DataFrame, columns: Columns, what: str) -> tuple[Ints, Floats]:
    """For each touch and fading, the column that it adds to, and how much; 0 where it adds nothing."""
    known = {name: at for at, name in enumerate(columns.names)}
    cell, named = pd.factorize(met["kind"].astype(str) + "\n" + met["stream"].astype(str))
    values = [str(each).split("\n", 1) for each in named]
    days = met["days"].to_numpy(dtype=np.float64)
    shape = (len(met), len(columns.fadings))
    place, amount = np.zeros(shape, dtype=np.int64), np.zeros(shape)
    for at, fading in enumerate(columns.fadings):
        half, look_back = FADINGS[fading]
        names = [column_name(columns.by, what, fading, *(each if what == "shown" else each[1:])) for each in values]
        to = np.array([known.get(name, -1) for name in names], dtype=np.int64)[cell]
        place[:, at] = np.maximum(to, 0)
        amount[:, at] = np.where((to >= 0) & (days <= look_back), np.exp2(-days / half), 0.0)
    return place, amount


def _sums(row: Ints, place: Ints, amount: Floats, shape: tuple[int, int]) -> Floats:
    flat = (row[:, None] * shape[1] + place).ravel()
    summed: Floats = np.bincount(flat, amount.ravel(), minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)
    return summed


def column_name(by: str, what: str, fading: str, *rest: str) -> str:
    """The name of a column of exposures (`rest` is kind and stream) or of opportunities (the stream alone)."""
    return ".".join((what, by, fading, *(quote(str(each), safe="") for each in rest)))


def _parts(name: str) -> list[str]:
    """A column's name taken apart: what, by, fading, kind where it is of what was shown, stream."""
    cut = name.split(".", 4 if name.startswith("shown.") else 3)
    return [*cut[:3], *(unquote(each) for each in cut[3:])]


def _parts_of(persons: pd.Series, folds: int, seed: int) -> Ints:
    """The part of each row, all of a person's rows in one."""
    codes, _ = pd.factorize(persons, use_na_sentinel=False)
    return np.asarray(np.random.default_rng(seed).permutation(codes.max(initial=-1) + 1)[codes] % folds)


def _micros(times: pd.Series) -> Ints:
    return np.asarray(pd.to_datetime(times, utc=True, cache=False).astype("datetime64[us, UTC]").astype("int64").to_numpy())
