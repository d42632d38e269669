"""Which measures are judged, when one is off, and what to do then: a table, a line a measure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from monitoring.findings.told import RETRAIN


@dataclass(frozen=True)
class Rule:
    """When a measure is off, and what to do then.

    `scale` says how far two values are apart: `share` is the difference, `ratio` the logarithm of the factor
    between them, `level` the difference from `target`, a value that needs no history, `factor` the logarithm of
    the factor from it. `harm` is the side that hurts: `up`, `down` or `both`. `warn` and `gross` are distances on
    that scale, below which a change is harmless, however certain. From `gross` on (None: never) what the rule
    `acts` is asked for at once; where it `lasts`, the second day of three at `warn` asks for it, too.
    """

    scale: str
    harm: str
    warn: float
    gross: float | None
    advice: str
    lasts: bool = False
    target: float = 0.0
    only: tuple[str, ...] = ()
    """The segments that are judged; all when empty."""
    floor: float = 0.0
    """The least day-to-day standard deviation that is believed, on the rule's scale."""
    acts: str = RETRAIN
    """The level of gross harm."""


SOURCE = "If the source or its tracker broke, fix it there and ingest the day again; if the mix has truly moved, watch the drift."
SIGNALS = "The rankers were fitted on richer signals: retrain on what still comes, and look for a consent or browser change."
INPUTS = "Find the feature's transform and its events; if the world has changed, retrain."

RULES: Mapping[str, Rule] = {
    "rows": Rule("ratio", "both", math.log(1.6), None, SOURCE, floor=0.1),
    "null_share": Rule("share", "up", 0.15, 0.35, SIGNALS, lasts=True, floor=0.01),
    "consent_share": Rule("share", "down", 0.15, 0.35, SIGNALS, lasts=True, floor=0.01),
    "identifiers_per_event": Rule("ratio", "down", math.log(1.25), math.log(1.6), SIGNALS, lasts=True, floor=0.03),
    "duplicate_share": Rule(
        "share", "up", 0.10, None, "A source delivers twice; duplicates are dropped, but ask it why.", floor=0.01
    ),
    "quarantined_share": Rule("share", "up", 0.02, None, "Read the quarantine table's reasons, and fix the source.", floor=0.002),
    "late_share": Rule("share", "up", 0.15, None, "Deliveries lag; run the day again when they are in.", floor=0.01),
    "hours_since_last": Rule(
        "level", "up", 6.0, None, "The source stopped before the day's end; ingest the day again.", floor=0.5
    ),
    "top_network_share": Rule("share", "up", 0.05, None, "One network floods: look for bots, and exclude it.", floor=0.005),
    "unseen_share": Rule(
        "share", "up", 0.20, None, "New values came: a new campaign or channel is fine, else check the mapping.", floor=0.02
    ),
    "zero_share": Rule("share", "up", 0.20, None, SOURCE, floor=0.02),
    "infinite_share": Rule("level", "up", 0.0005, None, "A transform divides by zero; fix it and materialise again."),
    "log10_amount": Rule(
        "share", "both", 0.5, None, "Money jumped by half a power of ten: compare the source's units.", floor=0.05
    ),
    "drifted_share": Rule("level", "up", 0.34, 0.67, "The model's inputs have moved: retrain on them.", lasts=True),
    "drift_failed": Rule("level", "up", 0.5, None, "Evidently could not compare a column; see its null and infinite share."),
    "observed_over_expected": Rule(
        "factor",
        "both",
        math.log(1.3),
        math.log(2.0),
        "Probabilities are off their level: retrain, which calibrates anew.",
        lasts=True,
        target=1.0,
    ),
    "decisions": Rule(
        "ratio", "down", math.log(3), None, "The model decides less: is the scorer up, and has the step run?", floor=0.15
    ),
    "match_rate": Rule("ratio", "down", math.log(1.25), math.log(1.6), SIGNALS, lasts=True, floor=0.03),
    "unattributed_share": Rule(
        "share",
        "up",
        0.15,
        0.40,
        "Credit lost its touches: look at click ids and identity first.",
        lasts=True,
        only=("last_touch", "ranker"),
        floor=0.02,
    ),
    "double_counting": Rule(
        "ratio", "up", math.log(1.2), None, "Channels claim the same orders; report deduplicated credit.", floor=0.03
    ),
    "true_precision": Rule(
        "share",
        "down",
        0.15,
        0.30,
        "Links are wrong more often than they were: raise identity.cut, and retrain.",
        lasts=True,
        floor=0.02,
    ),
}
FEATURE_RULES = {"null_share": INPUTS, "zero_share": INPUTS, "unseen_share": INPUTS, "infinite_share": INPUTS}
