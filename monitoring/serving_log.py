"""What serving left: how much was asked, found and answered, how fast, what failed or was missing, and which versions decided."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from monitoring import checks
from monitoring.checks import SERVICE, Check
from whence.answer_counts import Counts
from whence.bundle import BundleError, bundle_manifest
from whence.contracts.models import ATTRIBUTION_RANKER, IDENTITY_RANKER

if TYPE_CHECKING:
    import duckdb

ASKED = "/v1/"
"""Routes that are asked; the others are looked at by whoever wants to know whether it is well."""
SURE = 0.5
"""A first candidate that leads the second by so much is one that is surely found."""


def serving_checks(con: duckdb.DuckDBPyConnection, model: str, day: str, bundles: Path) -> list[Check]:
    """By route, questions, options, answers and missing inputs; the service's times and what it did without; bundles and their age.

    `con` has a view of `decisions`; `bundles` is the folder that holds the bundles of this machine.
    """
    found: list[Check] = []
    for route, asked, options, answered, nulls, inputs in con.execute(_ROUTES, [day, model]).fetchall():
        found.append(checks.count(model, "requests", route, asked))
        if model in (IDENTITY_RANKER, ATTRIBUTION_RANKER):
            found.append(checks.plain(model, "options_per_request", route, options, asked))
            found.append(checks.share(model, "answered_share", route, answered, asked))
        found.append(checks.plain(model, "route_null_share", route, nulls / inputs if inputs else None, asked))
    found += _answer_checks(con, model, day)
    served = con.execute(
        "SELECT bundle, count(*) FROM decisions WHERE day = ? AND model = ? GROUP BY 1 ORDER BY 2 DESC, 1", [day, model]
    ).fetchall()
    if served:
        found.append(checks.plain(model, "bundles", "all", float(len(served)), sum(n for _, n in served)))
        found.append(checks.plain(model, "bundle_age_days", "all", _age(bundles, served[0][0], day), served[0][1]))
    return found


def _answer_checks(con: duckdb.DuckDBPyConnection, model: str, day: str) -> list[Check]:
    """How long the service took to decide, and the share of its answers that had to do without something, by what that was."""
    asked, middle, late, degraded = con.execute(_ANSWERS, [day, model]).fetchall()[0]
    if not asked:
        return []
    found = [
        checks.plain(model, "answer_ms", "median", middle / 1000, asked),
        checks.plain(model, "answer_ms", "99 of 100", late / 1000, asked),
        checks.share(model, "degraded_share", "all", degraded, asked),
    ]
    kinds = con.execute(_KINDS, [day, model]).fetchall()
    return found + [checks.share(model, "degraded_share", kind, answers, asked) for kind, answers in kinds]


def service_checks(counts: Counts) -> list[Check]:
    """How many questions the service answered, by route, and the shares that failed, were turned away, or were refused as wrong."""
    routes = sorted({route for route, _ in counts if route.startswith(ASKED)})
    found: list[Check] = []
    for segment, prefix in (("all", ASKED), *zip(routes, routes, strict=True)) if routes else ():
        answers = fates(counts, prefix)
        asked = answers.pop("answers")
        found.append(checks.count(SERVICE, "answers", segment, asked))
        found += [checks.share(SERVICE, f"{fate}_share", segment, count, asked) for fate, count in answers.items()]
    return found


def fates(counts: Counts, prefix: str = ASKED) -> dict[str, int]:
    """Answers of the routes that begin so: in all, those that failed, were turned away, and were refused as wrong.

    >>> fates({("/v1/match", "200"): 7, ("/v1/match", "500"): 1, ("/livez", "200"): 9})
    {'answers': 8, 'failed': 1, 'turned_away': 0, 'refused': 0}
    """
    told = {key: count for key, count in counts.items() if key[0].startswith(prefix)}
    parts = {fate: sum(n for (_, status), n in told.items() if is_so(status)) for fate, is_so in _FATES.items()}
    return {"answers": sum(told.values()), **parts}


def margin_checks(con: duckdb.DuckDBPyConnection, day: str) -> list[Check]:
    """Of the signals that somebody was compared with, the share whose best candidate leads the next by a wide margin.

    Where the right person is not among the candidates nobody leads: it falls with the recall of retrieval, which nobody can see.
    """
    sure, asked = con.execute(_MARGINS, [day, IDENTITY_RANKER, SURE]).fetchall()[0]
    return [checks.share("persons", "sure_share", "all", int(sure or 0), int(asked))] if asked else []


def version_checks(versions: Mapping[str, set[str]], before: Mapping[str, set[str]]) -> list[Check]:
    """How many versions of each thing the day's credit was made with, and whether the day before knew none of one of them."""
    found = []
    for name, now in sorted(versions.items()):
        then = before.get(name, set())
        found.append(checks.plain("credits", "versions", name, float(len(now)), len(now)))
        found.append(checks.plain("credits", "changed", name, float(bool(then) and not now <= then), len(now)))
    return found


def _age(bundles: Path, digest: str, day: str) -> float | None:
    """Days since the last day that the bundle learned from; None where the bundle is not on this machine."""
    try:
        learned = bundle_manifest(bundles, digest)["about"]["as_of"]
    except (BundleError, OSError, KeyError):
        return None
    return float((date.fromisoformat(day) - date.fromisoformat(learned)).days)


_FATES: Mapping[str, Callable[[str], bool]] = {
    "failed": lambda status: status >= "500",
    "turned_away": lambda status: status == "429",
    "refused": lambda status: "400" <= status < "499" and status != "429",
}
"""By status; 499 is a caller that hung up."""
_ROUTES = """
    WITH asked AS (
        SELECT route, subject, count(*) AS options, bool_or(coalesce(chosen, false)) AS answered,
               sum((length(features) - length(replace(features, ':null', ''))) // 5) AS nulls,
               sum((length(features) - length(replace(features, '":', ''))) // 2) AS inputs
        FROM decisions WHERE day = ? AND model = ? GROUP BY ALL
    )
    SELECT route, count(*), avg(options), count(*) FILTER (answered), sum(nulls), sum(inputs) FROM asked GROUP BY 1 ORDER BY 1
"""
"""Inputs are a JSON object without spaces, so that `:null` is a missing one."""
_ONLINE = "FROM decisions WHERE day = ? AND model = ? AND micros IS NOT NULL AND decision_id LIKE '%-0'"
"""An answer by its first option."""
_ANSWERS = f"""
    SELECT count(*), quantile_cont(micros, 0.5), quantile_cont(micros, 0.99), count(*) FILTER (degraded <> '') {_ONLINE}
"""
_KINDS = f"SELECT kind, count(*) FROM (SELECT unnest(string_split(degraded, ',')) AS kind {_ONLINE}) WHERE kind <> '' GROUP BY 1 ORDER BY 1"
_MARGINS = """
    WITH ranked AS (
        SELECT subject, probability, row_number() OVER (PARTITION BY subject, route ORDER BY probability DESC, option) AS place, route
        FROM decisions WHERE day = ? AND model = ?
    ), asked AS (
        SELECT max(probability) FILTER (place = 1) - coalesce(max(probability) FILTER (place = 2), 0) AS margin FROM ranked GROUP BY subject, route
    )
    SELECT count(*) FILTER (margin >= ?), count(*) FROM asked
"""
