"""What Airflow's scheduler loads before it forks its tasks."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "infra" / "executor.py"
OURS = {"whence", "features", "training", "registry", "serving", "monitoring", "infra"}


def test_what_is_loaded_before_the_fork_is_installed_and_none_of_it_is_ours() -> None:
    (names,) = (
        ast.literal_eval(node.value)
        for node in ast.parse(SOURCE.read_text()).body
        if isinstance(node, ast.Assign) and node.targets[0].id == "LIBRARIES"  # type: ignore[attr-defined]
    )
    roots = {name.partition(".")[0] for name in names}
    assert all(importlib.util.find_spec(root) for root in roots)
    assert not roots & OURS
    assert "deltalake" not in roots
