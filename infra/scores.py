"""What the demo tells: counts, champions, verdicts, findings, and how good it all is against the world's truth."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monitoring.findings import CALM, URGENCY
from whence.contracts.models import MODELS, Candidate
from whence.contracts.settings import Settings
from whence.contracts.times import Window
from whence.lake import Lake

if TYPE_CHECKING:
    from registry.journal import Promotion


@dataclass(frozen=True)
class Score:
    """One figure of the closing summary."""

    what: str
    value: str
    compared_with: str = ""


def volume(settings: Settings, window: Window) -> str:
    """How many events of each kind the window brought, and what became of the bad ones."""
    counts = Lake.of(settings).read("ingest_counts", window).to_pandas()
    by_table = counts.groupby("table")[["accepted", "duplicates", "quarantined"]].sum()
    kinds = ", ".join(f"{row.accepted:,} {name}" for name, row in by_table.sort_values("accepted", ascending=False).iterrows())
    return f"{kinds}; {by_table['duplicates'].sum():,} duplicates dropped, {by_table['quarantined'].sum():,} rows in quarantine"


def champions(settings: Settings) -> str:
    """Each model's champion in a few characters."""
    import registry

    found = {model: registry.champion(settings, model) for model in MODELS}
    return ", ".join(f"{model} {row.bundle[:8] if row else '(none: see why in its run)'}" for model, row in found.items())


def drill(settings: Settings, as_of: date) -> str:
    """What the gate said of the candidates that were spoiled on purpose."""
    spoiled = [each for each in _candidates(settings, as_of) if each.drill]
    refused = [each for each in spoiled if verdict_of(each).get("decision") == "refuse"]
    why = next((verdict_of(each)["reasons"][0] for each in refused), "")
    return f"{len(refused)} of {len(spoiled)} refused. {why}"


def verdicts(settings: Settings, as_of: date) -> str:
    """What the gate said of the day's real candidates."""
    real = [each for each in _candidates(settings, as_of) if not each.drill]
    return "; ".join(f"{each.model}: {verdict_of(each).get('decision', 'not judged')}" for each in real)


def verdict_of(candidate: Candidate) -> dict[str, Any]:
    """The verdict on a candidate as the gate wrote it; empty before it was judged."""
    path = Path(candidate.folder) / "verdict.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def findings(settings: Settings, day: Window) -> str:
    """The day's findings, the loudest first."""
    rows = Lake.of(settings).read("findings", day).to_pylist()
    worst = max((row["level"] for row in rows), key=URGENCY.__getitem__, default=CALM)
    if worst == CALM:
        return "calm"
    loud = [row for row in rows if row["level"] == worst]
    return f"{len(loud)} × {loud[0]['level']}: {loud[0]['reason']}"


def wants_retrain(settings: Settings, day: Window) -> bool:
    """Whether a finding of the day asks for a retraining."""
    return "retrain" in Lake.of(settings).read("findings", day)["level"].to_pylist()


def promotions(settings: Settings, model: str) -> int:
    """How many champions the model has had."""
    from registry.journal import CHAMPION_KINDS, Journal

    return len({row.bundle for row in Journal.of(settings).rows(model) if row.kind in CHAMPION_KINDS})


def registry_rows(settings: Settings) -> list[dict[str, Any]]:
    """The champions with the reason why each won."""
    import registry

    rows = [row for model in MODELS if (row := registry.champion(settings, model))]
    return [
        {
            "model": row.model,
            "bundle": row.bundle[:12],
            "epoch": row.epoch,
            "by": row.who,
            "why it won": " ".join(_why(settings, row)),
        }
        for row in rows
    ]


def _why(settings: Settings, row: Promotion) -> tuple[str, ...]:
    """Why the bundle was promoted, also when a rollback brought it back."""
    from registry.journal import PROMOTE, Journal

    history = Journal.of(settings).rows(row.model)
    return next(each.reasons for each in history if each.bundle == row.bundle and each.kind == PROMOTE)


def quality(settings: Settings) -> list[Score]:
    """Identity and credit against the truth where the world knows it, and each champion on its held-out rows."""
    found = [*_identity(settings), *_credit(settings)] if settings.source.kind == "world" else []
    return [*found, *(score for model in MODELS for score in _held_out(settings, model))]


def _identity(settings: Settings) -> list[Score]:
    import pandas as pd

    from whence.identity import exact
    from whence.identity.quality import quality as measured

    lake = Lake.of(settings)
    truth = lake.read("truth_signals").to_pandas()
    truth = truth[~truth["is_bot"].fillna(False).astype(bool)]
    events = pd.concat([lake.read(name).to_pandas() for name in ("touches", "conversions", "sightings")])
    persons = lake.read("persons").to_pandas().sort_values("day").drop_duplicates("identifier", keep="last")
    own_id = exact.who(events, persons)
    found = measured(
        pd.Series(own_id.to_numpy(), index=events["event_id"].to_numpy()), truth.set_index("event_id")["true_person"]
    )
    ranked = int((persons["method"] == "ranked").sum())
    return [
        Score(
            "identity, pairs of signals: precision / recall", f"{found.precision:.3f} / {found.recall:.3f}", "the world's truth"
        ),
        Score("identity, signals with a person", f"{found.match_rate:.1%}", f"{ranked:,} identifiers linked by the ranker"),
    ]


def _credit(settings: Settings) -> list[Score]:
    from whence.attribution import statements
    from whence.attribution.quality import quality as measured

    lake = Lake.of(settings)
    credits = statements.current(lake.read("credits").to_pandas())
    # Only the conversions that the ranker credited too, so that all algorithms are judged on the same ones.
    ranked = credits.loc[credits["algorithm"] == "ranker", "conversion_id"].unique()
    credits = credits[credits["conversion_id"].isin(ranked)]
    touches = lake.read("touches", columns=["touch_id", "channel"]).to_pandas()
    return [
        Score(
            f"credit by {each.algorithm}",
            f"{each.credit_to_cause:.3f} to the true cause; channel shares off by {each.channel_error:.3f}",
            f"the world's truth, {each.conversions:,} conversions",
        )
        for each in measured(credits, lake.read("truth_conversions").to_pandas(), touches)
    ]


def _held_out(settings: Settings, model: str) -> list[Score]:
    """The champion's own figures from its training report."""
    import registry

    champion = registry.champion(settings, model)
    if champion is None:
        return [Score(f"{model}", "no champion", "")]
    found = next(settings.candidates.glob(f"{model}/*/{champion.bundle}/metrics.json"), None)
    numbers = json.loads(found.read_text()) if found else {}
    shown = {
        "roc_auc": "AUC",
        "roc_auc_of_strangers": "AUC on persons never learned from",
        "log_loss": "log loss",
        "observed_over_expected": "observed/expected",
    }
    told = [f"{label} {_interval(numbers[name])}" for name, label in shown.items() if name in numbers]
    return [Score(f"{model}, held-out rows", "; ".join(told), _against(numbers))]


def _against(numbers: dict[str, Any]) -> str:
    baseline = numbers.get("baseline_log_loss")
    return f"the baseline's log loss {_interval(baseline)}" if baseline else ""


def _interval(measure: dict[str, Any]) -> str:
    return f"{measure['value']:.3f} [{measure['low']:.3f}, {measure['high']:.3f}]"


def _candidates(settings: Settings, as_of: date) -> list[Candidate]:
    import registry

    return registry.candidates(settings, as_of)
