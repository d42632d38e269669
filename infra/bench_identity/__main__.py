"""Gathers the rows of identity matching into docs/benchmarks/identity.md; `--only` renews the rows of one module."""

from __future__ import annotations

import sys

from infra.benching import gather

PARTS = ("historical", "million", "deepmatcher", "retrieval", "unlabelled", "devices", "graph", "optional")
PACKAGES = ("splink", "duckdb", "lightgbm", "numpy", "scipy", "pyarrow", "rapidfuzz", "networkx")


def main(words: list[str] | None = None) -> int:
    """Measure, print and write; 1 when a row is short."""
    return gather(words, "identity", title="Identity matching, measured", parts=PARTS, packages=PACKAGES, doc=__doc__)


if __name__ == "__main__":
    sys.exit(main())
