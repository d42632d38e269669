"""What each model's candidate must show: policy.toml, read and checked. Imports nothing heavy, because DAGs ask it while parsing."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from registry import policy_files

POLICY = Path(__file__).with_name("policy.toml")
AUTOMATIC, PERSON = "automatic", "person"
GAINS = ("fresher", "better_calibrated")


class PolicyError(ValueError):
    """The policy file says something that cannot be."""


@dataclass(frozen=True)
class Policy:
    """What a candidate must show; see policy.toml for what each number means."""

    owner: str
    approval: str
    approval_hours: float
    baseline: str
    slices: tuple[str, ...]
    must_judge: tuple[str, ...]
    order_margin: float
    least_recall: float
    recall_margin: float
    min_rows: int
    min_positives: int
    min_negatives: int
    min_persons: int
    max_bytes: int
    max_cpu_us: float
    baseline_gain: float
    inferior_margin: float
    inferior_saving: float
    gains: tuple[str, ...]
    fresher_days: int
    level: tuple[float, float]
    level_interval: tuple[float, float]
    slope: tuple[float, float]
    recalibration_closes: float
    least_values: int
    slice_margin: float
    slice_level: float
    slice_min_rows: int
    slice_min_positives: int
    slice_sees: float
    most_unseen: float
    most_met_before: float
    most_stale_days: float
    leak_alone: float
    leak_early: float
    leak_order: float
    blockers: tuple[str, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of what it says; a verdict names the policy that it is by."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


def load_policy(model: str, home: Path | None = None) -> Policy:
    """The policy of a model: [all], then the model's own section; home/policy.toml goes before. Raises PolicyError naming the key."""
    contents, path = policy_files.contents(POLICY, home, PolicyError)
    if model not in contents[0]:
        raise PolicyError(f"{path} has no section [{model}]. Add one with its baseline and baseline_gain.")
    merged: dict[str, Any] = {}
    for section in ("all", model):
        for content in contents:
            merged |= content.get(section, {})
    names = {each.name for each in fields(Policy)}
    if wrong := sorted(names ^ set(merged)):
        raise PolicyError(f"{path}: '{wrong[0]}' is {'unknown' if wrong[0] in merged else 'missing'} for {model}.")
    if unknown := sorted(set(merged["gains"]) - set(GAINS)):
        raise PolicyError(f"{path}: there is no gain '{unknown[0]}'. Known: {', '.join(GAINS)}.")
    if merged["approval"] not in (AUTOMATIC, PERSON):
        raise PolicyError(f"{path}: approval of {model} cannot be '{merged['approval']}'. Known: {AUTOMATIC}, {PERSON}.")
    if lost := sorted({each.partition("=")[0] for each in merged["must_judge"]} - set(merged["slices"])):
        raise PolicyError(f"{path}: must_judge of {model} names a slice of '{lost[0]}', which is not among its slices.")
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in merged.items()}
    return Policy(**values)


def asks_a_person(home: Path) -> dict[str, float]:
    """The models whose promotion a person must approve, with the hours that are given for an answer."""
    ours = policy_files.contents(POLICY, home, PolicyError)[0][0]
    asked = {model: load_policy(model, home) for model in ours if model != "all"}
    return {model: policy.approval_hours for model, policy in asked.items() if policy.approval == PERSON}
