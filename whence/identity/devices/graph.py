"""The front door: from requests to each device's partners, with a probability for every pair that was compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.special import expit

from whence.identity.devices import ranker as rankers
from whence.identity.devices.index import Candidates, candidates
from whence.identity.devices.pairs import evidence
from whence.identity.devices.profiles import LEAST_DAYS, LEAST_REQUESTS, Profiles, profile
from whence.identity.devices.ranker import NOBODY, Ranker
from whence.identity.records.table import Evidence, Floats, Pairs
from whence.identity.records.verdicts import Mask, expected_fbeta_cut

BETA = 0.5
"""A wrong partner costs more than a missing one."""


@dataclass(frozen=True)
class Compared:
    """Devices, the pairs of them that were compared, and the evidence on each pair."""

    profiles: Profiles
    candidates: Candidates
    evidence: Evidence

    @property
    def pairs(self) -> Pairs:
        """The candidate pairs."""
        return self.candidates.pairs


@dataclass(frozen=True)
class Linked:
    """The devices, the compared pairs with their probability, and which of the two takes the other for a partner."""

    devices: tuple[str, ...]
    pairs: Pairs
    probabilities: Floats
    is_partner: Mask
    """Shape (pairs, 2): whether the left device takes the right one, and the right one the left."""

    def table(self) -> pa.Table:
        """A row for each device and partner: device, partner, probability; sorted by both."""
        names = np.array(self.devices, dtype=object)
        left, right = (self.is_partner[:, side] for side in (0, 1))
        rows = {
            "device": np.concatenate([names[self.pairs.left[left]], names[self.pairs.right[right]]]),
            "partner": np.concatenate([names[self.pairs.right[left]], names[self.pairs.left[right]]]),
            "probability": np.concatenate([self.probabilities[left], self.probabilities[right]]),
        }
        types = pa.schema([("device", pa.string()), ("partner", pa.string()), ("probability", pa.float64())])
        return pa.table(rows, schema=types).sort_by([("device", "ascending"), ("partner", "ascending")])


def compare(
    requests: pa.Table,
    as_of: datetime,
    *,
    context: bool = True,
    least_requests: int = LEAST_REQUESTS,
    least_days: int = LEAST_DAYS,
) -> Compared:
    """All that is known before `as_of` about pairs of devices that may be one person's.

    `requests` has the columns of profiles.COLUMNS, in any order. Devices with fewer than `least_requests` or
    `least_days` are left out. Raises ValueError for a column that is absent.
    """
    profiles = profile(requests, as_of, least_requests, least_days)
    found = candidates(profiles)
    return Compared(profiles, found, evidence(profiles, found.pairs, context=context))


def learn(compared: Compared, accounts: Mapping[str, str], units: Mapping[str, str] | None = None) -> Ranker:
    """A ranker learned from the devices whose account is known, as by a log-in; log-ins are no evidence, only labels.

    `units` names for each such device whoever is kept whole when models are checked on others, such as the
    household; the account where it is not given. Labelled pairs are no fair sample of all: the ranker is moved to the
    share of matches among these. Raises TooFewLabels when hardly any two devices are known.
    """
    names = compared.profiles.devices
    account = _coded(names, accounts)
    unit = _coded(names, {name: (units or accounts).get(name, accounts[name]) for name in accounts})
    left, right = account[compared.pairs.left], account[compared.pairs.right]
    labels = np.where((left == NOBODY) | (right == NOBODY), np.nan, (left == right) * 1.0)
    share = max(float((account != NOBODY).mean()), 1e-9) if len(account) else 1.0
    ranker = rankers.fit(compared.evidence, compared.pairs, labels, unit, share=share)
    weights = np.where(labels == 1, 1.0, 1 / share)[~np.isnan(labels)]
    base = float(np.average(labels[~np.isnan(labels)], weights=weights))
    return rankers.adapted(ranker, ranker.log_odds(compared.evidence, compared.pairs, len(names), unit), base)


def link(compared: Compared, ranker: Ranker, beta: float = BETA) -> Linked:
    """Each device's partners: as many of its likeliest candidates as make the expected F-beta of its set greatest."""
    pairs, devices = compared.pairs, compared.profiles.devices
    probabilities = expit(ranker.log_odds(compared.evidence, pairs, len(devices)))
    return Linked(devices, pairs, probabilities, partners(pairs, probabilities, beta))


def partners(pairs: Pairs, probabilities: Floats, beta: float = BETA) -> Mask:
    """Shape (pairs, 2): whether the left device takes the right one for a partner, and the right one the left.

    >>> pairs = Pairs(np.array([0, 0], np.int32), np.array([1, 2], np.int32))
    >>> partners(pairs, np.array([0.9, 0.3])).tolist()
    [[True, True], [False, False]]
    """
    device = np.concatenate([pairs.left, pairs.right]).astype(np.int64)
    return expected_fbeta_cut(np.concatenate([probabilities, probabilities]), device, beta).reshape(2, -1).T


def _coded(names: tuple[str, ...], owners: Mapping[str, str]) -> npt.NDArray[np.int64]:
    """A number for each device's owner, by the owners' names in order; NOBODY for a device without one."""
    place = {owner: code for code, owner in enumerate(sorted(set(owners.values())))}
    return np.array([place[owners[name]] if name in owners else NOBODY for name in names], dtype=np.int64)
