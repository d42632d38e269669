"""Gathers the rows of monitoring into docs/benchmarks/monitoring.md; `--only` renews the rows of one module."""

from __future__ import annotations

import sys

from infra.benching import gather

PARTS = ("clean", "scenarios", "levels", "prior_shift", "corruptions", "candidates", "drift", "embeddings", "dirty", "pages")
PACKAGES = ("evidently", "lightgbm", "numpy", "pandas")


def main(words: list[str] | None = None) -> int:
    """Measure, print and write; 1 when a row is short. With --file, live through that table, and write nothing."""
    asked = sys.argv[1:] if words is None else words
    if any(word.startswith("--file") for word in asked):
        from infra.bench_monitoring import prior_shift

        return prior_shift.main(asked)
    return gather(words, "monitoring", title="Monitoring, measured", parts=PARTS, packages=PACKAGES, doc=__doc__)


if __name__ == "__main__":
    sys.exit(main())
