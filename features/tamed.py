"""Importing Feast without what that does to the process: to be imported before any part of Feast.

`import feast` imports its metrics, which set two environment variables that turn every Prometheus client into a multi-process
one with files in a temporary folder: in this process, and in those that it starts, as a scoring service. And it rewrites the
code of its classes to check their types, which is two thirds of the import's time, in every task; ours are checked by mypy.
"""

from __future__ import annotations

import os
from typing import Any

import prometheus_client  # noqa: F401  before Feast, so that it has chosen already

VARIABLES = ("PROMETHEUS_MULTIPROC_DIR", "PROMETHEUS_MULTIPROCESS_DIR")

_before = {name: os.environ.get(name) for name in VARIABLES}

import typeguard  # noqa: E402  after the lines above, which must come first


def _unchecked(target: Any = None, **_: Any) -> Any:
    """What typeguard does under `python -O`: leave the code as it is."""
    return target if target is not None else _unchecked


_checked = typeguard.typechecked
typeguard.typechecked = _unchecked

import feast  # noqa: E402, F401

typeguard.typechecked = _checked

for _name, _value in _before.items():
    if _value is None:
        os.environ.pop(_name, None)
    else:
        os.environ[_name] = _value
