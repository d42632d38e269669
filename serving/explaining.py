"""Why a candidate got its score: each input with its age and its part, the calibrator's step, and what decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from serving import matcher
from serving.at_once import at_once
from serving.matcher import Known
from serving.scored import Scored
from whence.attribution import evidence as journey_evidence
from whence.attribution.policy import Policy
from whence.bundle import Scorer
from whence.contracts.settings import Identity
from whence.identity import decide
from whence.identity import evidence as identity_evidence


class NothingToExplain(ValueError):
    """No model was asked, or not about this option; the message says what happened instead."""


def explain_match(
    signal: Mapping[str, Any], option: str | None, known: Known, scorer: Scorer | None, policy: Identity
) -> dict[str, Any]:
    """Why `option` is, or is not, the person of the signal; without an option, why the surest candidate is.

    The parts of `features` and the `base` sum to `raw`. Raises NothingToExplain when nobody was ranked, or not this option.
    """
    answer = at_once(matcher.match(signal, known, scorer, policy))
    if answer.scored is None or scorer is None:
        raise NothingToExplain(_unranked(answer))
    row = _row(answer.scored, option)
    verdict = _match_verdict(answer.scored, row, policy)
    return _explained(answer.scored, row, known, scorer, identity_evidence.SOURCES, verdict, answer.degraded)


def explain_attribute(
    conversion: Mapping[str, Any],
    touches: Sequence[Mapping[str, Any]],
    person_id: str | None,
    option: str | None,
    known: Known,
    scorer: Scorer | None,
    policy: Policy,
) -> dict[str, Any]:
    """Why the touch `option` got its score by the ranker, and which credit it came to; without one, the surest touch."""
    answer = at_once(matcher.attribute(conversion, touches, person_id, known, scorer, policy))
    if answer.scored is None or scorer is None:
        why = "; ".join(answer.degraded) or f"the policy {policy.name} does not ask the ranker, or no touch may earn"
        raise NothingToExplain(f"No touch was ranked: {why}.")
    row = _row(answer.scored, option)
    verdict = _credit_verdict(answer, answer.scored, row)
    return _explained(answer.scored, row, known, scorer, journey_evidence.SOURCES, verdict, answer.degraded)


def _row(scored: Scored, option: str | None) -> int:
    if option is None:
        return scored.chosen if scored.chosen is not None else int(scored.probability.argmax())
    if option not in scored.options:
        raise NothingToExplain(f"{option} was not among the {len(scored.options)} candidates: {', '.join(scored.options[:5])} …")
    return list(scored.options).index(option)


def _explained(
    scored: Scored,
    row: int,
    known: Known,
    scorer: Scorer,
    sources: Mapping[str, str],
    verdict: Mapping[str, Any],
    degraded: Sequence[str],
) -> dict[str, Any]:
    *parts, base = scorer.contributions(scored.matrix[row : row + 1])[0].tolist()
    told = zip(scored.inputs(row).items(), parts, strict=True)
    features = [_feature(name, value, part, known, sources.get(name), row) for (name, value), part in told]
    return {
        "model": scorer.model,
        "bundle": scorer.digest,
        "option": scored.options[row],
        "features": sorted(features, key=lambda each: -abs(each["contribution"])),
        "base": base,
        "raw": float(scored.raw[row]),
        "calibrator": scorer.calibrator_kind,
        "probability": float(scored.probability[row]),
        "verdict": dict(verdict),
        "degraded": list(degraded),
    }


def _feature(name: str, value: Any, part: float, known: Known, view: str | None, row: int) -> dict[str, Any]:
    """One input: its value, the view that it comes from with the age there (null: not known, or of the request), its part."""
    return {
        "name": name,
        "value": value,
        "view": view,
        "age_hours": None if view is None else known.age_hours(view, row),
        "contribution": part,
    }


def _match_verdict(scored: Scored, row: int, policy: Identity) -> dict[str, Any]:
    place, lead = decide.best(scored.options, scored.probability)
    best, sure = scored.options[place], float(scored.probability[place])
    if scored.chosen is not None:
        why = f"{best} is taken: {sure:.4f} is at least the cut of {policy.cut:g}, and leads by {lead:.4f}"
    elif sure < policy.cut:
        why = f"nobody is taken: the best, {best}, has {sure:.4f}, and the cut is {policy.cut:g}"
    else:
        why = f"nobody is taken: {best} leads by {lead:.4f} alone, and {decide.LEAD:g} is asked"
    return {
        "is_taken": row == scored.chosen,
        "cut": policy.cut,
        "lead": lead,
        "least_lead": decide.LEAD,
        "why": why,
        "others": _others(scored, row),
    }


def _credit_verdict(answer: matcher.Credit, scored: Scored, row: int) -> dict[str, Any]:
    touch = scored.options[row]
    share = next((each.share for each in answer.earned if each.touch_id == touch), 0.0)
    by_ranker = next((each.share for each in answer.beside.get("ranker", ()) if each.touch_id == touch), None)
    why = f"{answer.algorithm} gives {touch} a share of {share:.4f}"
    if by_ranker is not None:
        why += f", and the ranker would give {by_ranker:.4f}"
    return {
        "is_taken": row == scored.chosen,
        "algorithm": answer.algorithm,
        "share": share,
        "why": why,
        "others": _others(scored, row),
    }


def _others(scored: Scored, row: int) -> list[dict[str, Any]]:
    """The competing candidates, surest first."""
    rest = zip(scored.options, scored.raw.tolist(), scored.probability.tolist(), strict=True)
    others = [each for place, each in enumerate(rest) if place != row]
    order = sorted(others, key=lambda each: (-each[2], each[0]))
    return [{"option": option, "raw": raw, "probability": probability} for option, raw, probability in order]


def _unranked(answer: matcher.Answer) -> str:
    if answer.person_id is not None:
        return f"Nobody was ranked: an identifier of the signal names {answer.person_id}."
    return f"Nobody was ranked: {'; '.join(answer.degraded) or 'the signal has no network, no consent, or nobody is on its network'}."
