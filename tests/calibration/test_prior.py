from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit

from tests.calibration.test_calibration import FITTED, OF_ONE_ROW, fields_of
from whence.calibration import KINDS, CalibrationError, corrected, fit


@pytest.mark.parametrize("kind", KINDS)
def test_a_calibrator_of_a_tenth_of_the_negatives_is_put_right_for_all_rows(kind: str) -> None:
    generator = np.random.default_rng(4)
    raw = generator.normal(-1, 1.5, 30_000)
    labels = (generator.random(30_000) < expit(raw - 1)).astype(float)
    kept = (labels > 0) | (generator.random(30_000) < 0.1)
    made = fit(kind, raw[kept], labels[kept], fields=fields_of(int(kept.sum())))
    fields = fields_of(30_000, seed=9).matrix
    assert made.apply(raw, fields).sum() > 2 * labels.sum()  # left as it is, it foretells far too many
    assert corrected(made, 0.1).apply(raw, fields).sum() == pytest.approx(labels.sum(), rel=0.03)
    assert corrected(made, 0.1).base_rate == pytest.approx(labels.mean(), rel=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_the_correction_is_bayes_rule_row_by_row(kind: str) -> None:
    raw = np.linspace(-3, 3, 20)
    fields = np.tile(OF_ONE_ROW, (20, 1))
    before, after = FITTED[kind].apply(raw, fields), corrected(FITTED[kind], 0.25).apply(raw, fields)
    assert logit(after) == pytest.approx(logit(before) + np.log(0.25))


@pytest.mark.parametrize("share", [0.0, -0.1, 1.5, float("nan")])
def test_an_impossible_share_is_refused(share: float) -> None:
    with pytest.raises(CalibrationError, match="above 0 and at most 1"):
        corrected(FITTED["platt"], share)
