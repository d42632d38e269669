"""What containers are given: settings that load, commands that exist, no password in a file."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from serving.web.metrics import Metrics
from whence.contracts.settings import Settings, load

INFRA = Path(__file__).parents[2] / "infra"


def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((INFRA / "compose" / "compose.yaml").read_text()))


def chart_values() -> dict[str, Any]:
    return dict(yaml.safe_load((INFRA / "helm" / "whence" / "values.yaml").read_text()))


def commands() -> list[list[str]]:
    """What our image is told to run, in compose and in the chart."""
    ours = [each["command"] for each in compose()["services"].values() if each.get("image") == "whence:local"]
    text = (INFRA / "helm" / "whence" / "templates" / "platform.yaml").read_text()
    text += (INFRA / "helm" / "whence" / "templates" / "serving.yaml").read_text()
    return ours + [re.findall(r'"([^"]*)"', each) for each in re.findall(r'\(list ("python"[^)]*)\)', text)]


@pytest.mark.parametrize("where", ["compose", "chart"])
def test_the_settings_of_containers_load_and_name_shared_stores(tmp_path: Path, where: str) -> None:
    text = (INFRA / "compose" / "whence.toml").read_text() if where == "compose" else str(chart_values()["settings"])
    (tmp_path / "whence.toml").write_text(text)
    settings = load(tmp_path / "whence.toml")
    assert isinstance(settings, Settings)
    assert (settings.features.online, settings.serving.host) == ("redis", "0.0.0.0")
    assert settings.journal_url.startswith("postgresql+psycopg://")
    assert settings.tables_uri.startswith("s3://")


def test_every_module_that_a_container_runs_is_there() -> None:
    modules = [command[2] for command in commands() if command[:2] == ["python", "-m"]]
    assert {"serving", "registry.follow", "monitoring.evidently.page"} <= set(modules)
    assert all(importlib.util.find_spec(name) for name in modules)


@pytest.mark.parametrize("name", ["compose/compose.yaml", "compose/whence.toml", "helm/whence/values.yaml", "helm/airflow.yaml"])
def test_no_file_holds_a_password(name: str) -> None:
    assert not [line for line in (INFRA / name).read_text().splitlines() if re.search(r"://[^/\s:@]+:[^@\s]+@", line)]


def test_all_pods_are_one_user_whose_keys_no_mount_opens_to_others() -> None:
    template = (INFRA / "helm" / "whence" / "templates" / "_helpers.tpl").read_text()
    ours = yaml.safe_load(re.findall(r"  securityContext:\n    ({.*runAsUser.*})\n", template)[0])
    airflows = yaml.safe_load((INFRA / "helm" / "airflow.yaml").read_text())["securityContexts"]["pod"]
    (user,) = re.findall(r"useradd --uid (\d+)", (INFRA / "compose" / "Dockerfile").read_text())
    assert ours.items() >= airflows.items()
    assert {airflows[each] for each in ("runAsUser", "runAsGroup", "fsGroup")} == {int(user)}
    assert airflows["fsGroupChangePolicy"] == "OnRootMismatch"


def test_every_variable_of_the_compose_file_is_in_its_example() -> None:
    asked = set(re.findall(r"\$\{(\w+):\?\}", (INFRA / "compose" / "compose.yaml").read_text()))
    offered = set(re.findall(r"^(\w+)=", (INFRA / "compose" / "env.example").read_text(), re.MULTILINE))
    assert asked == offered


def test_dashboard_and_alerts_ask_for_metrics_that_the_service_has() -> None:
    kept = {each.name + ("_total" if each.type == "counter" else "") for each in Metrics.new().registry.collect()}
    for name in ("grafana.json", "alerts.yaml"):
        asked = {
            re.sub("_(bucket|sum|count)$", "", each)
            for each in re.findall(r"\bwhence_\w+", (INFRA / "observability" / name).read_text())
        }
        assert asked, name
        assert asked <= kept, f"{name} asks for {sorted(asked - kept)}"


def test_every_alert_says_what_to_do() -> None:
    groups = yaml.safe_load((INFRA / "observability" / "alerts.yaml").read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert rules
    assert all({"summary", "action"} <= set(rule["annotations"]) and rule["labels"]["severity"] for rule in rules)
