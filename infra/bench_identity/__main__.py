"""Gathers the rows of identity matching into docs/benchmarks/identity.md; `--only` renews the rows of one module."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from importlib.util import find_spec

from infra.benching import Row, about, write

PARTS = ("historical", "million", "deepmatcher", "retrieval", "unlabelled", "devices", "graph", "optional")
PACKAGES = ("splink", "duckdb", "lightgbm", "numpy", "scipy", "pyarrow", "rapidfuzz", "networkx")


def main(words: list[str] | None = None) -> int:
    """Measure, print and write; 1 when a row is short."""
    parser = argparse.ArgumentParser(prog="python -m infra.bench_identity", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="rounds of each timed comparison")
    parser.add_argument("--only", choices=PARTS, action="append", help="renew the rows of this part alone; may be repeated")
    asked = parser.parse_args(words)
    return max(_part(name, asked.runs) for name in asked.only or PARTS)


def _part(name: str, runs: int) -> int:
    command = f"python -m infra.bench_identity --only {name} --runs {runs}"
    return write("identity", _rows(name, runs), about(command, PACKAGES), title="Identity matching, measured", part=name)


def _rows(name: str, runs: int) -> list[Row]:
    module = f"infra.bench_identity.{name}"
    if find_spec(module) is None:
        return [Row(name, "not measured: not written yet")]
    found: list[Row] = import_module(module).measure(runs)
    return found


if __name__ == "__main__":
    sys.exit(main())
