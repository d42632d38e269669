"""For all tests: examples are drawn the same way each time, and some modules are not read for docstring examples.

Those modules import a whole platform, and have tests of their own.
"""

from hypothesis import settings

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
    "monitoring/evidently/metrics.py",
    "monitoring/evidently/project.py",
    "monitoring/evidently/page.py",
    "registry/store.py",
]
