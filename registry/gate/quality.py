"""Whether a candidate is good: enough to tell by, better than the baseline and the champion, and right in its level."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from registry.gate.evidence import Evaluation, Evidence, Floats
from registry.gate.verdict import FAIL, PASS, UNSURE, Check, rows_for, words_of
from registry.policy import Policy
from whence import measures
from whence.measures import Measure

PLACES = 5
"""Places of a ranked list that count."""
GROUPS = 10
"""Of the rows, for the curve of said and seen."""


def measure(candidate: Evaluation, champion: Evaluation | None) -> dict[str, Measure]:
    """All that is measured of the two sides; intervals are over persons."""
    y, p, who = candidate.labels, candidate.probability, candidate.persons
    loss = measures.log_losses(y, p)
    taken = {
        "log_loss": measures.mean(loss, who),
        "brier": measures.brier(y, p, who),
        "observed_over_expected": measures.observed_over_expected(y, p, who),
        "calibration_slope": measures.calibration_slope(y, p, who),
        "calibration_error": measures.calibration_error(y, p, who),
        "roc_auc": measures.roc_auc(y, p, who),
        "baseline_log_loss": measures.log_loss(y, candidate.baseline, who),
        "saved_over_baseline": measures.paired_difference(measures.log_losses(y, candidate.baseline), loss, who),
    }
    queries = candidate.queries if y.any() else None
    if queries is not None:
        taken[f"ndcg_at_{PLACES}"] = measures.ndcg_at(PLACES, y, p, queries, who)
    if champion is not None:
        q = champion.probability
        taken["champion_log_loss"] = measures.log_loss(y, q, who)
        taken["champion_observed_over_expected"] = measures.observed_over_expected(y, q, who)
        taken["saved_over_champion"] = measures.paired_difference(measures.log_losses(y, q), loss, who)
        if queries is not None:
            taken["order_over_champion"] = measures.ndcg_difference(PLACES, y, p, q, queries, who)
    return taken


def curve(candidate: Evaluation) -> tuple[tuple[float, Measure], ...]:
    """Said and seen, for tenths of the rows by what is said of them."""
    y, p, who = candidate.labels, candidate.probability, candidate.persons
    edges = np.unique(np.quantile(p, np.linspace(0, 1, GROUPS + 1)[1:-1]))
    group = np.searchsorted(edges, p, side="right")
    parts = [group == each for each in np.unique(group)]
    return tuple((float(p[part].mean()), _seen(y[part], who[part])) for part in parts)


def _seen(y: Floats, who: npt.NDArray[Any]) -> Measure:
    """The share of positives; where none came, up to three of the rows may still be ones, which resampling cannot see."""
    return measures.mean(y, who) if y.any() else Measure(0.0, 0.0, min(3 / len(y), 1.0), len(y))


def enough(candidate: Evaluation, policy: Policy) -> Iterator[Check]:
    """A check only where something is lacking."""
    rows = len(candidate.labels)
    positives = int(candidate.labels.sum())
    persons, most = _persons(candidate)
    counts = (
        ("rows", rows, policy.min_rows, ""),
        ("positives", positives, policy.min_positives, ""),
        ("negatives", rows - positives, policy.min_negatives, ""),
        ("persons", int(persons), policy.min_persons, f", as one of them holds {most:.0%} of the rows" if most > 0.1 else ""),
    )
    for name, came, needed, why in counts:
        if came < needed:
            rows_needed = math.ceil(rows * needed / came) if came else 0
            more = f"about {rows_needed:,} rows would have them" if came else "none came yet"
            words = f"{came:,} {name} are held out{why}, and {needed:,} are needed; {more}."
            yield Check(f"enough {name}", UNSURE, words, rows_needed)


def _persons(candidate: Evaluation) -> tuple[float, float]:
    """How many people with as many rows each would tell as much, and the largest share of rows that one holds."""
    _, held = np.unique(candidate.persons.astype(str), return_counts=True)
    rows = held.sum()
    return (float(rows**2 / (held.astype(np.float64) ** 2).sum()), float(held.max() / rows)) if rows else (0.0, 0.0)


def beats_baseline(taken: Mapping[str, Measure], candidate: Evaluation, policy: Policy) -> Check:
    """A candidate that does not save what the policy asks for has learned nothing that is worth serving."""
    saved, loss = taken["saved_over_baseline"], taken["baseline_log_loss"].value
    worth = policy.baseline_gain * loss
    said = (
        f"Against {policy.baseline} it saves {words_of(saved)} nats a row, of {loss:.4f}; "
        f"{worth:.4f} is the least that counts ({policy.baseline_gain:.0%})"
    )
    if saved.low > 0 and saved.value >= worth:
        return Check("baseline", PASS, f"{said}: beaten for sure.")
    if saved.high < worth:
        why = "the baseline stands. A model of shuffled labels or of noise looks like this"
        return Check("baseline", FAIL, f"{said}, and it does not reach that for sure: {why}.")
    more, rows = _more(saved, worth, candidate)
    return Check("baseline", UNSURE, f"{said}: these rows do not decide; {more}.", rows)


def calibrated(taken: Mapping[str, Measure], candidate: Evaluation, policy: Policy) -> Iterator[Check]:
    """The level of its probabilities, and whether they are as far apart as they should be."""
    ratio = taken["observed_over_expected"]
    (low, high), (widest, highest) = policy.level, policy.level_interval
    said = f"For each positive foretold {words_of(ratio)} came; {low:g} to {high:g} is right"
    if ratio.low > high or ratio.high < low:
        yield Check("calibration", FAIL, f"{said}: its probabilities are wrong in level for sure.")
    elif widest <= ratio.low and ratio.high <= highest:
        yield Check("calibration", PASS, f"{said}, and the interval reaches into it.")
    else:
        room = min(abs(math.log(bound)) for bound in policy.level_interval)
        more, rows = _more(ratio, room, candidate)
        yield Check("calibration", UNSURE, f"{said}, and its interval may reach from {widest:g} to {highest:g}; {more}.", rows)
    slope = taken["calibration_slope"]
    if not math.isfinite(slope.low):
        yield Check("spread", UNSURE, "These rows do not say whether its probabilities are as far apart as they should be.")
        return
    said = f"Its log-odds want to be stretched by {words_of(slope)}; {policy.slope[0]:g} to {policy.slope[1]:g} is right"
    if slope.high < policy.slope[0]:
        yield Check("spread", FAIL, f"{said}: it is surer than it may be, and calibrated in the mean at best.")
    elif slope.low > policy.slope[1]:
        yield Check("spread", FAIL, f"{said}: it is less sure than it could be, and calibrated in the mean at best.")
    elif slope.low <= 0:
        more, rows = _more(slope, policy.slope[0], candidate)
        yield Check("spread", UNSURE, f"{said}, and these rows do not even say that they tell anything apart; {more}.", rows)
    else:
        yield Check("spread", PASS, f"{said}.")


def margin_of(taken: Mapping[str, Measure], policy: Policy) -> float:
    """Nats a row that do not count as worse, and that are worth finding: the declared effect."""
    loss = taken["champion_log_loss"].value
    return max(policy.inferior_margin * loss, policy.inferior_saving * (taken["baseline_log_loss"].value - loss))


def beats_champion(candidate: Evaluation, champion: Evaluation, taken: Mapping[str, Measure], policy: Policy) -> Check:
    """Better for sure, or no worse by the margin and with another gain that the policy names."""
    saved, loss, margin = taken["saved_over_champion"], taken["champion_log_loss"].value, margin_of(taken, policy)
    said = f"Against the champion {champion.bundle[:12]} it saves {words_of(saved)} nats a row, of {loss:.4f}"
    if saved.low > 0:
        return Check("champion", PASS, f"{said}: better for sure.")
    if saved.high < 0:
        return Check("champion", FAIL, f"{said}: worse for sure.")
    if saved.low > -margin:
        if gained := _gains(candidate, champion, taken, policy):
            return Check("champion", PASS, f"{said}: not worse by more than {margin:.4f}, and {gained}.")
        if saved.high < margin:
            neither = f"neither {' nor '.join(policy.gains)}" if policy.gains else "the policy knows no other gain"
            return Check("champion", FAIL, f"{said}: the same within {margin:.4f}, and {neither}.")
    more, rows = _more(saved, margin, candidate)
    return Check("champion", UNSURE, f"{said}: these rows do not decide within {margin:.4f}; {more}.", rows)


def keeps_order(taken: Mapping[str, Measure], policy: Policy) -> Iterator[Check]:
    """Rows that compete must not be put into a worse order than the champion's, for sure."""
    if policy.order_margin <= 0:
        return
    if (ranked := taken.get(f"ndcg_at_{PLACES}")) is None:
        yield Check(
            "order", UNSURE, "Its rows do not say which of them compete, so nobody can judge their order. Train it again."
        )
    elif (gained := taken.get("order_over_champion")) is None:
        yield Check("order", PASS, f"The first {PLACES} places are right to {words_of(ranked)}; there is no champion yet.")
    else:
        said = f"The order of the first {PLACES} places is better by {words_of(gained)}; {-policy.order_margin:g} is the least"
        is_worse = gained.high < -policy.order_margin
        yield Check("order", FAIL if is_worse else PASS, f"{said}{': it orders worse for sure' if is_worse else ''}.")


def recalls(candidate: Evaluation, champion: Evaluation | None, evidence: Evidence, policy: Policy) -> Iterator[Check]:
    """Whether the true one is among the candidates that it is given: what retrieval loses, no ranker brings back."""
    if policy.least_recall <= 0:
        return
    found, most = evidence.retrieved, candidate.most_candidates
    if found is None or most is None or not len(found.place):
        yield Check("recall", UNSURE, "The report does not say what its retrieval finds. Train the candidate again.")
        return
    hit = (found.place < most).astype(np.float64)
    share = measures.mean(hit, found.persons)
    said = f"The true person is among the {most} candidates for {words_of(share)} of {len(hit):,} signals"
    if share.high < policy.least_recall:
        yield Check("recall", FAIL, f"{said}, and {policy.least_recall:g} is the least: retrieval lost them.")
        return
    if champion is None or champion.most_candidates is None or champion.most_candidates == most:
        same = "as with the champion's" if champion is not None else "there is no champion yet"
        yield Check("recall", PASS, f"{said}, {same}.")
        return
    gained = measures.paired_difference(hit, (found.place < champion.most_candidates).astype(np.float64), found.persons)
    said = f"{said}: better by {words_of(gained)} than with the champion's {champion.most_candidates}"
    if gained.low >= -policy.recall_margin:
        yield Check("recall", PASS, f"{said}.")
    else:
        yield Check("recall", FAIL, f"{said}, and {policy.recall_margin:g} is the most that it may lose.")


def _gains(candidate: Evaluation, champion: Evaluation, taken: Mapping[str, Measure], policy: Policy) -> str:
    mine, theirs = candidate.last_day, champion.last_day
    days = (mine - theirs).days if mine and theirs else 0
    if "fresher" in policy.gains and days >= policy.fresher_days:
        return f"fresher by {days} day{'s' if days > 1 else ''} of data"
    old, new = taken["champion_observed_over_expected"], taken["observed_over_expected"]
    was_off = old.low > policy.level[1] or old.high < policy.level[0]
    if "better_calibrated" in policy.gains and was_off and new.low <= 1 <= new.high:
        return f"better calibrated: {words_of(new)} came for each foretold, and {words_of(old)} with the champion"
    return ""


def _more(taken: Measure, effect: float, candidate: Evaluation) -> tuple[str, int]:
    """How many rows would show an effect of that size, in words and as a number; queries too, where rows compete."""
    rows = rows_for(taken, effect, len(candidate.labels))
    if not rows:
        return "more rows are needed", 0
    if candidate.queries is None:
        return f"about {rows:,} rows would", rows
    queries = math.ceil(rows * len(np.unique(candidate.queries.astype(str))) / len(candidate.labels))
    return f"about {rows:,} rows of {queries:,} queries would", rows
