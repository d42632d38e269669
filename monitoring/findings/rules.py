"""Which measures are judged, when one is off, and what to do then: a table, a line a measure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from monitoring.findings.told import RETRAIN, STOP


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
    counts: bool = False
    """The value counts events, which come by chance."""
    resampled: bool = False
    """What few rows leave open is told by its interval alone, also where the value looks like a share."""
    serves: bool = False
    """A day of 0 is one on which the model did not serve, and no norm."""


SOURCE = "If the source or its tracker broke, fix it there and ingest the day again; if the mix has truly moved, watch the drift."
SIGNALS = "The rankers were fitted on richer signals: retrain on what still comes, and look for a consent or browser change."
COPIES = "Rows came again under other ids: drop them at the source, and ingest the day again."
CLOCK = "Compare the source's clock and zone with ours, and ingest the day again."
HASHING = "Identifiers are no longer those of before: look for another hash, a placeholder, or columns that changed places."
MAPPING = "Compare the mapping's columns with what the source sends now, and ingest the day again."
INPUTS = "Find the feature's transform and its events; if the world has changed, retrain."

RULES: Mapping[str, Rule] = {
    "rows": Rule("ratio", "both", math.log(1.6), None, SOURCE, floor=0.1, counts=True),
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
    "top_network_share": Rule(
        "share", "up", 0.05, 0.10, "One network floods: look for bots, and exclude it.", floor=0.005, acts=STOP
    ),
    "unseen_share": Rule(
        "share", "up", 0.20, None, "New values came: a new campaign or channel is fine, else check the mapping.", floor=0.02
    ),
    "zero_share": Rule("share", "up", 0.20, None, SOURCE, floor=0.02),
    "far_amount_share": Rule(
        "share", "up", 0.02, 0.02, "Some amounts are twenty times off: compare the source's units.", floor=0.003, acts=STOP
    ),
    "copied_share": Rule("share", "up", 0.02, 0.02, COPIES, floor=0.003, acts=STOP),
    "replayed_share": Rule("share", "up", 0.03, 0.03, COPIES, floor=0.005, acts=STOP),
    "clock_ahead_share": Rule("share", "up", 0.02, 0.02, CLOCK, floor=0.005, acts=STOP),
    "log10_delay": Rule("share", "both", 0.3, 1.0, CLOCK, floor=0.05, acts=STOP),
    "silent_hours": Rule("level", "up", 1.0, None, "Hours without a row: ask the source for them, and ingest the day again."),
    "returning_share": Rule("share", "both", 0.15, 0.5, HASHING, floor=0.03, acts=STOP),
    "top_value_share": Rule("share", "up", 0.02, 0.05, HASHING, floor=0.005, acts=STOP),
    "odd_shape_share": Rule("share", "up", 0.02, 0.02, MAPPING, floor=0.003, acts=STOP),
    "renamed_share": Rule("share", "up", 0.02, 0.02, MAPPING, floor=0.003, acts=STOP),
    "distinct_values": Rule("ratio", "both", math.log(2), None, MAPPING, floor=0.15, counts=True),
    "gone_share": Rule("share", "up", 0.30, 0.60, MAPPING, floor=0.03, acts=STOP),
    "top_category_share": Rule("share", "up", 0.20, 0.30, MAPPING, floor=0.03, acts=STOP),
    "zero_amount_share": Rule("share", "up", 0.10, 0.10, SOURCE, floor=0.02, acts=STOP),
    "identifiers_per_person": Rule("ratio", "both", math.log(1.3), None, HASHING, floor=0.05),
    "persons_per_identifier": Rule("ratio", "both", math.log(1.3), None, HASHING, floor=0.05),
    "infinite_share": Rule("level", "up", 0.0005, None, "A transform divides by zero; fix it and materialise again."),
    "log10_amount": Rule(
        "share", "both", 0.5, None, "Money jumped by half a power of ten: compare the source's units.", floor=0.05
    ),
    "torn_files": Rule(
        "level", "up", 0.5, None, "A scorer was killed while it wrote: what it had answered last may be missing from the log."
    ),
    "unreadable_decisions": Rule(
        "level", "up", 0.5, None, "The decision log is damaged: look at the disk, and at who else writes there."
    ),
    "contradicted": Rule(
        "level", "up", 0.5, None, "Orders were told again with another value, click or kind: ask the source which is right."
    ),
    "undecided": Rule(
        "level", "up", 0.5, None, "The champion decided nothing: has the step run, and was there anything to decide?"
    ),
    "unreferenced": Rule(
        "level",
        "up",
        0.5,
        None,
        "No clean day is left to compare the model's inputs with: its drift goes unseen until there is one.",
    ),
    "drifted_share": Rule("level", "up", 0.34, 0.67, "The model's inputs have moved: retrain on them.", lasts=True),
    "drift_failed": Rule("level", "up", 0.5, None, "Evidently could not compare a column; see its null and infinite share."),
    "observed_over_expected": Rule(
        "factor",
        "both",
        math.log(1.05),
        None,
        "Probabilities are off their level: recalibrate, which takes seconds, while the order holds.",
        target=1.0,
    ),
    "corrected_observed_over_expected": Rule(
        "factor",
        "both",
        math.log(1.1),
        None,
        "Labels that are still ripening say that the level is off: wait for the ripe ones, and look at what changed.",
        target=1.0,
    ),
    "estimated_roc_auc": Rule(
        "share",
        "down",
        0.05,
        None,
        "The model is asked harder questions than before: see its inputs; labels will tell.",
        floor=0.02,
    ),
    "roc_auc": Rule(
        "share", "down", 0.05, 0.15, "The model ranks worse than it did: retrain.", lasts=True, floor=0.01, resampled=True
    ),
    "log_loss": Rule(
        "ratio",
        "up",
        math.log(1.3),
        None,
        "The model says less than it did: see its ranking and its level.",
        lasts=True,
        floor=0.08,
    ),
    "decisions": Rule(
        "ratio",
        "down",
        math.log(3),
        None,
        "The model decides less: is the scorer up, and has the step run?",
        floor=0.15,
        counts=True,
        serves=True,
    ),
    "failed_share": Rule(
        "level", "up", 0.001, None, "The service answers with 5xx, and never should: its log names each request that failed."
    ),
    "turned_away_share": Rule(
        "level", "up", 0.01, None, "The service turns questions away: more workers, more replicas, or a higher rate of the token."
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
    "contradicting_share": Rule(
        "share",
        "up",
        0.005,
        None,
        "One person holds two accounts: look at what joined them, and raise identity.cut.",
        floor=0.002,
    ),
    "sure_share": Rule(
        "share", "down", 0.1, None, "Fewer signals have one candidate that leads: retrieval may miss the right one.", floor=0.03
    ),
    "double_counting": Rule(
        "ratio", "up", math.log(1.2), None, "Channels claim the same orders; report deduplicated credit.", floor=0.03
    ),
    "largest": Rule(
        "ratio", "up", math.log(1.5), math.log(3), "One person has grown by much: see what joined it.", floor=0.1, acts=STOP
    ),
    "links": Rule(
        *("ratio", "down", math.log(10), math.log(30), "Hardly anybody was resolved: did the fuse hold the day back?"),
        only=("exact",),
        floor=0.3,
        acts=STOP,
        counts=True,
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
ADVICE: Mapping[str, str] = {
    "missing_day": "Publish nothing of the day; deliver it, and ingest it again.",
    "duplicate_delivery": "A source delivers twice; known events are dropped, but ask it why before the day is published.",
    "unit_change": "Publish nothing of the day: money came in another unit. Correct the source, and ingest the day again.",
    "tracker_outage": "If the tracker broke, mend it and ingest the day again; until then credit goes to the other parts.",
    "bot_flood": "Look at the networks with the most rows, and exclude the bots from what is paid.",
    "signal_loss": SIGNALS,
    "mix_shift": "If a campaign was moved on purpose, nothing; else look at the parts that moved, and watch the drift.",
    "prior_shift": "The order holds and the inputs hold: recalibrate, which takes seconds.",
    "model_regression": "Roll back to the bundle before, then look at what the gate saw of the new one.",
    "model_silent": "Is the scorer up, has the step run, and has it a champion?",
    "feature_break": INPUTS,
}
"""What to do about a cause, where its measure's own advice would say less."""
