"""What a correction is given: rows as known now, what is in them, and how long they may still change."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from whence.delay.curve import Bools, Floats, MaturityCurve, curves_by_segment, is_ripe, maturity_curve, watch


@dataclass(frozen=True)
class Rows:
    """Rows as known now; elapsed, delay and window in one unit, such as days."""

    features: Floats
    """n × k, as the model will see them."""
    elapsed: Floats
    """How long ago each row happened."""
    delay: Floats
    """How long its conversion took to be known, NaN while there is none."""
    window: float
    """When a label can change no more."""
    segment: npt.NDArray[np.object_] | None = None
    """The part of the whole whose maturity curve a row follows where nothing better is known; one for all without it."""
    categories: tuple[int, ...] = ()
    """Which columns of the features are codes."""
    seed: int = 7
    threads: int = 1

    @classmethod
    def of(
        cls,
        features: npt.ArrayLike,
        elapsed: npt.ArrayLike,
        delay: npt.ArrayLike,
        window: float,
        *,
        segment: npt.ArrayLike | None = None,
        categories: tuple[int, ...] = (),
        seed: int = 7,
        threads: int = 1,
    ) -> Rows:
        """Checked rows; a conversion that is not known yet, or came too late, is taken as not there."""
        x = np.asarray(features, dtype=np.float64)
        watched, came = watch(elapsed, delay, window)
        names = None if segment is None else np.asarray(segment, dtype=object).astype(str).astype(object)
        if len(x) != len(watched) or (names is not None and len(names) != len(x)):
            raise ValueError(f"{len(x)} rows of features and {len(watched)} watches came. Give one of each a row.")
        return cls(x, watched, came, window, names, categories, seed, threads)

    @cached_property
    def label(self) -> Floats:
        """1 where a conversion is known, else 0."""
        return np.asarray((~np.isnan(self.delay)).astype(np.float64))

    @cached_property
    def ripe(self) -> Bools:
        """Rows whose label can change no more."""
        return is_ripe(self.elapsed, self.window)

    @cached_property
    def curve(self) -> MaturityCurve:
        """The maturity curve of all rows together."""
        return maturity_curve(self.elapsed, self.delay, self.window)

    def known_by_curve(self) -> Floats:
        """The share of conversions that is known by each row's age, by the curve of its segment."""
        return self._by_segment("known")

    def late_by_curve(self) -> Floats:
        """The chance that each row converts yet if it has not, by the curve of its segment."""
        return self._by_segment("late")

    def _by_segment(self, what: str) -> Floats:
        def ask(curve: MaturityCurve, age: Floats) -> Floats:
            return curve.known_by(age) if what == "known" else curve.late(age)

        if self.segment is None:
            return ask(self.curve, self.elapsed)
        said = np.empty(len(self.elapsed))
        for name, curve in curves_by_segment(self.elapsed, self.delay, self.segment, self.window).items():
            here = self.segment == name
            said[here] = ask(curve, self.elapsed[here])
        return said
