"""For all tests: examples are drawn the same way each time, and what imports a whole platform is read only where it is wanted.

Modules that do are not read for docstring examples, for they have tests of their own; test files of real services are not read
by the quick run.
"""

import re
from pathlib import Path

import pytest
from hypothesis import settings

pytest_plugins = ["tests.postgres"]
settings.register_profile("fixed", derandomize=True, max_examples=50)
settings.load_profile("fixed")

collect_ignore = [
    "features/definitions.py",
    "features/plugins.py",
    "features/store.py",
    "features/tamed.py",
    "infra/airflow_plugins/whence_pages.py",
    "infra/executor.py",
    "monitoring/evidently/compared.py",
    "monitoring/evidently/history.py",
    "monitoring/evidently/metrics.py",
    "monitoring/evidently/project.py",
    "monitoring/evidently/page.py",
    "registry/store.py",
]

WHOLLY_SERVICE = re.compile(r"^pytestmark = \[?\s*pytest\.mark\.service\b", re.MULTILINE)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Whether the quick run would read a file only to leave all its tests out."""
    is_test = collection_path.name.startswith("test_") and config.option.markexpr == "not service"
    return True if is_test and WHOLLY_SERVICE.search(collection_path.read_text()) else None
