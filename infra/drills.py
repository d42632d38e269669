"""Harm done on purpose, to see that it is found and mended."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING

from whence.contracts.settings import Settings

if TYPE_CHECKING:
    from registry.journal import Promotion

SURER = 2.0
"""Log-odds: what was one in ten is said to be nearly one in two."""


def put_off_level(settings: Settings, model: str, who: str, now: datetime) -> Promotion:
    """Make a champion of the champion's own trees with probabilities that are far too high; no gate is asked."""
    from registry.journal import Journal

    journal = Journal.of(settings)
    row = journal.champion(model)
    if row is None:
        raise ValueError(f"{model} has no champion whose level could be put off. Promote one first.")
    reasons = (f"A drill: the log-odds of {row.bundle[:12]} plus {SURER:g}.",)
    return journal.promote(model, shifted(settings, row.bundle, SURER), "", reasons, who, row.epoch, now, row.versions)


def shifted(settings: Settings, bundle: str, plus: float) -> str:
    """The digest of a bundle with the trees of this one and its log-odds moved; also by 0 it is another one."""
    from whence import bundle_store
    from whence.bundle import bundle_content, write_bundle
    from whence.calibration import Calibrator, moved

    scorer, content = bundle_store.load(settings, bundle), bundle_content(settings.bundles, bundle)
    calibrator = moved(Calibrator.from_json(json.loads(content["calibrator.json"])), plus)
    golden = json.loads(content["golden.json"])["columns"]
    about = {**scorer.about, "drill": f"log-odds plus {plus:g}"}
    text = content["model.txt"].decode()
    digest = write_bundle(settings.bundles, scorer.model, text, calibrator.to_json(), scorer.schema, golden, about)
    bundle_store.share(settings, digest)
    return digest
