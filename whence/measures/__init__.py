"""How good a model is, with the doubt: each measure is a value and an interval over people."""

from whence.measures.fields import Worst, field_calibration_error, worst_segment
from whence.measures.intervals import Measure, mean, paired_difference
from whence.measures.levels import brier, calibration_error, calibration_slope, log_loss, log_losses, observed_over_expected
from whence.measures.ranking import average_precision, ndcg_at, ndcg_difference, roc_auc, top1

__all__ = [
    "Measure",
    "Worst",
    "average_precision",
    "brier",
    "calibration_error",
    "calibration_slope",
    "field_calibration_error",
    "log_loss",
    "log_losses",
    "mean",
    "ndcg_at",
    "ndcg_difference",
    "observed_over_expected",
    "paired_difference",
    "roc_auc",
    "top1",
    "worst_segment",
]
