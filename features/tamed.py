"""Importing Feast without what that does to the process: to be imported before any part of Feast.

`import feast` imports its metrics, which set two environment variables that turn every Prometheus client into a multi-process
one with files in a temporary folder: in this process, and in those that it starts, as a scoring service.
"""

from __future__ import annotations

import os

import prometheus_client  # noqa: F401  before Feast, so that it has chosen already

VARIABLES = ("PROMETHEUS_MULTIPROC_DIR", "PROMETHEUS_MULTIPROCESS_DIR")

_before = {name: os.environ.get(name) for name in VARIABLES}

import feast  # noqa: E402, F401

for _name, _value in _before.items():
    if _value is None:
        os.environ.pop(_name, None)
    else:
        os.environ[_name] = _value
