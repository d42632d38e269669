"""Gathers the rows of the gate into docs/benchmarks/gate.md; `--only` renews the rows of one module."""

from __future__ import annotations

import sys

from infra.benching import gather

PARTS = ("tried", "chances")
PACKAGES = ("lightgbm", "numpy", "scipy")


def main(words: list[str] | None = None) -> int:
    """Measure, print and write; 1 when a row is short."""
    return gather(words, "gate", title="The gate, measured", parts=PARTS, packages=PACKAGES, doc=__doc__)


if __name__ == "__main__":
    sys.exit(main())
