"""Gathers the rows of serving into docs/benchmarks/serving.md; `--only` renews the rows of one module."""

from __future__ import annotations

import sys

from infra.benching import gather

PARTS = ("scoring", "requests", "latency", "swaps", "replay")
PACKAGES = ("lightgbm", "numpy", "uvicorn", "starlette", "uvloop", "httptools", "orjson", "redis", "feast", "mlflow", "fastapi")


def main(words: list[str] | None = None) -> int:
    """Measure, print and write; 1 when a row is short."""
    return gather(words, "serving", title="Serving, measured", parts=PARTS, packages=PACKAGES, doc=__doc__)


if __name__ == "__main__":
    sys.exit(main())
