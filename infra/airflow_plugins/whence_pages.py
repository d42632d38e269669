"""Links in Airflow's own menu: the front page, what was found, what to do, and the dashboards."""

from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin

from whence.contracts.settings import load

FRONT = load().front_url
PAGES = {"Front page": "/", "Findings": "/findings", "Runbooks": "/runbooks", "Dashboards": "/models/platform"}


class WhencePages(AirflowPlugin):  # type: ignore[misc]  # Airflow has no types
    """The platform's pages, under one heading of the menu."""

    name = "whence_pages"
    external_views: ClassVar[list[dict[str, Any]]] = [
        {"name": name, "href": f"{FRONT}{path}", "destination": "nav", "category": "whence"} for name, path in PAGES.items()
    ]
