"""Labels that are not ripe yet: which they are, how they ripen, and how to learn from them all the same.

A click's conversion may come days later, so the newest labels say too little. `curve` says how labels ripen, `speed`
and `corrections` what to teach a model instead of them, `deadline` what was known at an earlier time, and `refunds` what
becomes of a conversion after it came.
"""

from whence.delay.corrections import CORRECTIONS, DEFAULT, Taught, correct, fsiw_weights, unfolded
from whence.delay.curve import MaturityCurve, curves_by_segment, is_ripe, maturity_curve
from whence.delay.deadline import Then, as_known
from whence.delay.refunds import RefundCurve, refund_curve
from whence.delay.rows import Rows

__all__ = [
    "CORRECTIONS",
    "DEFAULT",
    "MaturityCurve",
    "RefundCurve",
    "Rows",
    "Taught",
    "Then",
    "as_known",
    "correct",
    "curves_by_segment",
    "fsiw_weights",
    "is_ripe",
    "maturity_curve",
    "refund_curve",
    "unfolded",
]
