"""Gathers the rows of attribution into docs/benchmarks/attribution.md; `--only` renews the rows of one module."""

from __future__ import annotations

import sys

from infra.benching import gather

PARTS = (
    "rules",
    "markov",
    "shapley",
    "join",
    "daily",
    "conservation",
    "peers",
    "causal",
    "intervals",
    "delay",
    "calibration",
    "talkingdata",
)
PACKAGES = (
    "channelattribution",
    "marketing-attribution-models",
    "polars",
    "duckdb",
    "lightgbm",
    "numpy",
    "scipy",
    "pandas",
    "pyarrow",
    "scikit-learn",
)


def main(words: list[str] | None = None) -> int:
    """Measure, print and write; 1 when a row is short."""
    return gather(words, "attribution", title="Attribution, measured", parts=PARTS, packages=PACKAGES, doc=__doc__)


if __name__ == "__main__":
    sys.exit(main())
