"""Which modules are not read for docstring examples: those that import a whole platform, and have tests of their own."""

collect_ignore = [
    "features/definitions.py",
    "features/plugins.py",
    "features/store.py",
    "features/tamed.py",
    "monitoring/evidently_project.py",
    "monitoring/page.py",
    "registry/store.py",
]
