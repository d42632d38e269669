"""Where a peer means the same by a word, it says the same: rules, removal effects, and what a public set adds up to."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np

from infra.bench_attribution import walks
from infra.benching import DATA, Row, absent, interleaved, verdict

PUBLIC = DATA / "mta_paths_10k" / "channelattribution_paths.csv.gz"
CONVERSIONS = 19_785
"""In the public set; each algorithm must give away as many."""
ORDERS = (1, 2, 3)
SEEDS = 20
ERRORS = 4.0
"""Standard errors that the mean of a simulation may lie from what is exact, at the worst of a few dozen channels."""
SAME_EFFECTS, SAME_RULES = 1e-7, 1e-9
WALKS = 20_000
"""Journeys that marketing-attribution-models is given: it holds them in more than a gigabyte where there are 100,000."""
HALF_LIFE_HOURS = 48.0
MAM_RULES = {
    "last_touch": "run_last_click",
    "first_touch": "run_first_click",
    "linear": "run_linear",
    "position": "run_position_based",
    "time_decay": "run_time_decay",
}


def measure(runs: int) -> list[Row]:
    """Sums of the public set, then each peer; nothing here depends on how often it is run."""
    return [*_given_away(), *_by_mam(), *_by_channelattribution()]


def given_away() -> dict[str, int]:
    """The micros that each algorithm credits the public set's conversions with, one million for each conversion."""
    import pandas as pd

    from whence.attribution import markov, paths, rules, shapley
    from whence.attribution.credit import NO_AD, credit_rows

    told = pd.read_csv(PUBLIC)
    journeys = paths.of_texts(told["path"].tolist(), told["total_conversions"], told["total_null"])
    pairs = _pairs(journeys)
    bought = pd.DataFrame({"conversion_id": pairs["conversion_id"].unique()})
    bought = bought.assign(value_micros=1_000_000, currency="USD", seen_at=pd.Timestamp("2026-05-02", tz="UTC"), person_id=None)
    chains = {f"markov of order {order}": markov.fit(journeys, order) for order in markov.ORDERS}
    rates = shapley.fit(journeys)
    algorithms: dict[str, Callable[[], pd.Series]] = {
        **{rule: partial(rules.share, pairs, rule) for rule in rules.RULES},
        **{name: partial(markov.share, pairs, chain) for name, chain in chains.items()},
        "shapley": partial(shapley.share, pairs),
        "shapley of rates": partial(shapley.share, pairs, rates),
    }
    found = {}
    for name, share in algorithms.items():
        rows = credit_rows(bought, pairs, share(), name)
        found[name] = int(rows.loc[rows["touch_id"] != NO_AD, "credit_micros"].sum())
    return found


def mam_effects() -> dict[str, float]:
    """The largest difference of removal effects from those of marketing-attribution-models: on generated journeys, on the public set."""
    from whence.attribution import markov, paths

    journeys, _ = walks.walks(20, WALKS)
    found = {"generated": _apart_from_mam(_mam_of_walks(), markov.fit(journeys))}
    if PUBLIC.exists():
        import pandas as pd
        from mam.core import MAM

        told = pd.read_csv(PUBLIC)
        one = told.rename(columns={"total_conversions": "times"}).assign(converted=True)
        other = told.rename(columns={"total_null": "times"}).assign(converted=False)
        both = pd.concat([one, other])[["path", "times", "converted"]].query("times > 0")
        peer = MAM(both, "grouped_journey", "path", "converted", occurrences_colname="times")
        journeys = paths.of_texts(told["path"].tolist(), told["total_conversions"], told["total_null"])
        found["public"] = _apart_from_mam(peer, markov.fit(journeys))
    return found


def mam_rules() -> dict[str, float]:
    """The largest difference of each rule's credit from that of marketing-attribution-models, by the largest credit."""
    from whence.attribution.rules import totals

    journeys, hours = walks.walks(20, WALKS)
    ours, peer, found = totals(journeys, hours), _mam_of_walks(), {}
    for rule, name in MAM_RULES.items():
        more = {"half_life_hours": HALF_LIFE_HOURS} if rule == "time_decay" else {}
        theirs = getattr(peer, name)(**more).to_pandas().set_index("channels")["attribution"]
        theirs.index = theirs.index.astype(str)
        found[rule] = float((ours[rule] - theirs.reindex(ours.index).fillna(0.0)).abs().max() / ours[rule].max())
    return found


def channelattribution_effects() -> dict[str, list[float]]:
    """For each order: the largest difference of the mean over seeds from what is exact, in standard errors and as it is, and the spread."""
    import ChannelAttribution as peer
    import pandas as pd

    from whence.attribution import markov, paths

    told = pd.read_csv(PUBLIC)
    journeys = paths.of_texts(told["path"].tolist(), told["total_conversions"], told["total_null"])
    found = {}
    for order in ORDERS:
        exact = markov.fit(journeys, order).removal
        drawn = [
            peer.markov_model(
                told, "path", "total_conversions", var_null="total_null", order=order, seed=1 + 7 * seed, out_more=True,
                verbose=False, flg_pro=False,
            )["removal_effects"].set_index("channel_name").iloc[:, 0]
            for seed in range(SEEDS)
        ]  # fmt: skip
        table = pd.concat(drawn, axis=1).reindex(exact.index).T.drop_duplicates().T  # some seeds draw the same
        apart, spread = (table.mean(axis=1) - exact).abs(), table.std(axis=1)
        error = spread / table.shape[1] ** 0.5
        found[str(order)] = [float((apart / error).max()), float(apart.max()), float(spread.max())]
    return found


def channelattribution_rules() -> dict[str, float]:
    """The largest difference of first, last and linear credit, by the largest credit."""
    import ChannelAttribution as peer
    import pandas as pd

    from whence.attribution import paths
    from whence.attribution.rules import totals

    told = pd.read_csv(PUBLIC)
    journeys = paths.of_texts(told["path"].tolist(), told["total_conversions"], told["total_null"])
    ours = totals(journeys, np.zeros(len(journeys.codes)))
    theirs = peer.heuristic_models(told, "path", "total_conversions", flg_pro=False).set_index("channel_name").reindex(ours.index)
    pairs = {"first_touch": "first_touch", "last_touch": "last_touch", "linear": "linear_touch"}
    return {name: float((ours[name] - theirs[other]).abs().max() / ours[name].max()) for name, other in pairs.items()}


def _pairs(journeys: Any) -> Any:
    """A row for each touch of each conversion, an hour apart, as journeys.candidate_touches gives them."""
    import pandas as pd

    path = np.repeat(np.arange(len(journeys)), journeys.conversions.astype(int))
    lengths = journeys.lengths[path]
    conversion = np.repeat(np.arange(len(path)), lengths)
    place = np.arange(len(conversion)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    hours = (lengths[conversion] - place).astype("float64")
    names = np.array(journeys.channels, dtype=object)[journeys.codes[journeys.starts[path][conversion] + place]]
    return pd.DataFrame(
        {
            "conversion_id": pd.Series(conversion).map("c{:05d}".format),
            "touch_id": pd.Series(place).map("t{:03d}".format),
            "campaign_id": names,
            "channel": names,
            "hours_before": hours,
            "touched_at": pd.Timestamp("2026-05-02", tz="UTC") - pd.to_timedelta(hours, unit="h"),
        }
    )


def _mam_of_walks() -> Any:
    import pandas as pd
    from mam.core import MAM

    journeys, hours = walks.walks(20, WALKS)
    runs = list(zip(journeys.starts[:-1].tolist(), journeys.starts[1:].tolist(), strict=True))
    names = [journeys.channels[code] for code in journeys.codes]
    told = pd.DataFrame(
        {
            "journey": [f"j{i}" for i in range(len(runs))],
            "path": [" > ".join(names[a:b]) for a, b in runs],
            "hours": [" > ".join(map(repr, hours[a:b].tolist())) for a, b in runs],
            "converted": journeys.conversions > 0,
        }
    )
    return MAM(told, "journey", "path", "converted", user_id_colname="journey", time_till_conv_colname="hours")


def _apart_from_mam(peer: Any, ours: Any) -> float:
    theirs = peer.run_markov().metadata["removal_effect"]["removal_effect"]
    return float((ours.removal - theirs.reindex(ours.removal.index)).abs().max())


def _asked(job: Callable[[], Any]) -> Any:
    """The answer of a function in a process of its own: peers print, hold memory and change settings."""
    return interleaved({"peer": job}, 1)["peer"].answers[0]


def _given_away() -> list[Row]:
    what = f"the public 10,000 paths with {CONVERSIONS:,} conversions, credited in whole micros"
    target = f"{CONVERSIONS:,} by each algorithm"
    if not PUBLIC.exists():
        return [absent(what, target)]
    found = _asked(given_away)
    is_whole = all(each == CONVERSIONS * 1_000_000 for each in found.values())
    told = sorted({each / 1e6 for each in found.values()})
    return [
        Row(what, f"{' to '.join(f'{each:,.6f}' for each in told)} by each of {len(found)}", "exact", target, verdict(met=is_whole), ", ".join(found))
    ]  # fmt: skip


def _by_mam() -> list[Row]:
    effects, rules = "removal effects of marketing-attribution-models", "rules of marketing-attribution-models"
    if find_spec("mam") is None:
        return [Row(what, "not measured: marketing-attribution-models is not installed") for what in (effects, rules)]
    found, shared = _asked(mam_effects), _asked(mam_rules)
    apart, most = max(found.values()), max(shared.values())
    return [
        Row(
            effects,
            f"differ by {apart:.0e} at most",
            target=f"≤ {SAME_EFFECTS:.0e}",
            verdict=verdict(met=apart <= SAME_EFFECTS),
            note="; ".join(f"{name}: {each:.0e}" for name, each in found.items())
            + f"; {WALKS:,} generated journeys of 20 channels",
        ),
        Row(
            rules,
            f"differ by {most:.0e} of the largest credit at most",
            target=f"≤ {SAME_RULES:.0e}",
            verdict=verdict(met=most <= SAME_RULES),
            note="; ".join(f"{name}: {each:.0e}" for name, each in shared.items()),
        ),
    ]


def _by_channelattribution() -> list[Row]:
    effects, rules = "removal effects of ChannelAttribution, which simulates", "rules of ChannelAttribution"
    if find_spec("ChannelAttribution") is None:
        return [Row(what, "not measured: ChannelAttribution is not installed") for what in (effects, rules)]
    if not PUBLIC.exists():
        return [absent(effects), absent(rules)]
    found, shared = _asked(channelattribution_effects), _asked(channelattribution_rules)
    worst, most = max(each[0] for each in found.values()), max(shared.values())
    return [
        Row(
            effects,
            f"its mean over {SEEDS} seeds is {worst:.1f} standard errors from what is exact, at most",
            target=f"≤ {ERRORS:.0f}",
            verdict=verdict(met=worst <= ERRORS),
            note="; ".join(
                f"order {order}: mean off by {apart:.4f}, one run spreads by {spread:.4f}"
                for order, (_, apart, spread) in found.items()
            ),
        ),
        Row(
            rules,
            f"differ by {most:.0e} of the largest credit at most",
            target=f"≤ {SAME_RULES:.0e}",
            verdict=verdict(met=most <= SAME_RULES),
            note="; ".join(f"{name}: {each:.0e}" for name, each in shared.items()),
        ),
    ]
