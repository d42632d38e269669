"""The verb of `whence` that tells why a measure moved between two days."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra import show
from whence.cli import OF_CREDIT, spoken

if TYPE_CHECKING:
    import pandas as pd

    from monitoring.moved.inputs import History
    from monitoring.moved.why import Answer
    from serving.daily.attributing import Scored
    from serving.daily.supposing import Supposed
    from whence.attribution.policy import Policy
    from whence.bundle import Scorer
    from whence.lake import Lake

app = typer.Typer()


@app.command(rich_help_panel=OF_CREDIT)
def moved(
    context: typer.Context,
    metric: Annotated[
        str, typer.Argument(metavar="METRIC", help="As findings name it: conversions/match_rate, credits/credit_share/search, …")
    ],
    first: Annotated[str, typer.Argument(metavar="DAY1", help="The day before it moved.")],
    second: Annotated[str, typer.Argument(metavar="DAY2", help="The day after.")],
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON, for programs.")] = False,
) -> None:
    """Say why a measure moved: the share of data, features, identity, model, calibrator and policy in its change.

    The answer is kept as a page, which the front page links.
    """
    from monitoring.moved import kept
    from monitoring.moved.why import as_dict, why

    with spoken():
        answer = why(context.obj, metric, date.fromisoformat(first), date.fromisoformat(second), ByDay())
        page = kept.keep(context.obj, answer)
        if as_json:
            show.facts({**as_dict(answer), "page": str(page)}, as_json=True)
        else:
            _say(answer, page)


class ByDay:
    """The steps of the day's runs, which are the serving room's."""

    def journeys(self, lake: Lake, day: date, policy: Policy, persons: pd.DataFrame) -> Supposed:
        """See monitoring.moved.recomputed.Daily."""
        from serving.daily import supposing

        return supposing.journeys(lake, day, policy, persons)

    def credit(
        self, journeys: Supposed, scorers: Mapping[str, Scorer], history: History
    ) -> tuple[pd.DataFrame, Mapping[str, pd.DataFrame]]:
        """See monitoring.moved.recomputed.Daily."""
        from serving.daily import supposing

        rows, said = supposing.credit(journeys, scorers, history)
        return rows, {model: _whole(each) for model, (_, each) in said.items()}

    def value(self, touches: pd.DataFrame, scorer: Scorer, history: History) -> pd.DataFrame:
        """See monitoring.moved.recomputed.Daily."""
        from serving.daily import supposing

        return _whole(supposing.value(touches, scorer, history))


def _whole(said: Scored) -> pd.DataFrame:
    """What was asked, the inputs, and what came out, in one frame."""
    import pandas as pd

    parts = [each.reset_index(drop=True) for each in (said.subjects, said.inputs)]
    return pd.concat(parts, axis=1).assign(probability=said.probability)


def _say(answer: Answer, page: Path) -> None:
    from monitoring.moved import words

    show.console.print(words.title(answer), style="bold", highlight=False)
    for line in words.in_short(answer):
        show.console.print(f"· {line}", highlight=False, markup=False)
    show.console.print()
    show.rows(_rows(answer), as_json=False)
    show.console.print(f"\n{words.ground(answer)} {words.METHOD}\nThe page is {page}.", highlight=False, markup=False)


def _rows(answer: Answer) -> list[dict[str, Any]]:
    from monitoring.moved import words

    return [
        {
            "because of": line.name,
            "share": line.share,
            "of the change": line.of_change,
            "95 %": line.interval,
            "then and now": line.said,
        }
        for line in words.lines(answer)
    ]
