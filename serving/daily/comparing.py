"""What a change of the attribution policy would move: front door of `whence policy diff`; it writes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING

from whence.attribution.policy import Policy
from whence.contracts.times import Window
from whence.lake import Lake

if TYPE_CHECKING:
    import pandas as pd

    from whence.bundle import Scorer
    from whence.contracts.settings import Settings

USUAL_DAYS = 7


class ComparisonError(ValueError):
    """Two policies that cannot be compared on these days; the message says why and what to do."""


@dataclass(frozen=True)
class Moved:
    """What moves from one policy's credit to another's, in millionths by currency."""

    window: Window
    summary: pd.DataFrame
    """comparison.SUMMARY: how much moves in all."""
    flows: pd.DataFrame
    """comparison.FLOWS: from which campaign to which."""
    totals: pd.DataFrame
    """comparison.TOTALS: what each campaign has before and after."""


def latest(lake: Lake) -> Window:
    """The last week of days that have conversions. Raises ComparisonError where there are none."""
    days = sorted(lake.days("conversions"))
    if not days:
        raise ComparisonError("There are no conversions yet. `whence ingest DAYS` brings some in.")
    last = date.fromisoformat(days[-1])
    return Window(max(date.fromisoformat(days[0]), Window(last, last).back(USUAL_DAYS).first), last)


def compare(settings: Settings, window: Window, before: Policy, after: Policy) -> Moved:
    """Credit the conversions of the days by both policies, each by the algorithm that it pays by, as known at each day's end.

    Learned algorithms use today's champions. Refunds are left out: they follow the credit. Raises ComparisonError where the
    days have no conversions, or an algorithm has no champion.
    """
    from whence.attribution import comparison

    lake = Lake.of(settings)
    if not set(lake.days("conversions")) & set(window.days):
        raise ComparisonError(f"There are no conversions of {window}. Name days that `whence ingest` brought in.")
    first, second = (_credits(settings, lake, window, policy) for policy in (before, after))
    return Moved(window, *(each(first, second) for each in (comparison.summary, comparison.flows, comparison.totals)))


def _credits(settings: Settings, lake: Lake, window: Window, policy: Policy) -> pd.DataFrame:
    from features import historical
    from serving.daily import crediting

    models = crediting.Models(_champions(settings), lambda rows, views: historical(settings, rows, views))
    rows = crediting.compare(lake, window, replace(policy, algorithms=(policy.algorithm,)), models)
    if rows.empty:
        what = f"Policy '{policy.name}' pays by {policy.algorithm}, and gives no credit for {window}: its model has no champion."
        raise ComparisonError(f"{what} Train and promote one, or name another algorithm.")
    return rows.assign(conversion_id=_orders(lake, window, rows["conversion_id"]))


def _orders(lake: Lake, window: Window, conversions: pd.Series) -> pd.Series:
    """The order of each conversion, so that another telling of it is not another conversion."""
    told = lake.read("conversions", window, ["conversion_id", "order_id"]).to_pandas()
    order = told.dropna(subset="order_id").drop_duplicates("conversion_id").set_index("conversion_id")["order_id"]
    return conversions.map("order:" + order).fillna(conversions)


def _champions(settings: Settings) -> Callable[[date, str], Scorer | None]:
    """The champion of now, whatever the day."""

    def champion(_: date, model: str) -> Scorer | None:
        from registry.journal import Journal
        from whence import bundle_store

        standing = Journal.of(settings).champion(model)
        return bundle_store.load(settings, standing.bundle) if standing else None

    return champion
