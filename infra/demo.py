"""The whole loop on real Airflow: events in, a promoted model, a day that goes wrong, and dashboards out."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from infra import chaos, drills, platform, scores, show, traffic
from infra.airflow import Airflow
from whence.contracts.models import ATTRIBUTION_RANKER, MODELS
from whence.contracts.settings import FILE_VARIABLE, Scenario, Settings, Source
from whence.contracts.times import Window

DAILY = ("ingest_events", "resolve_identities", "materialise_features", "attribute_conversions", "watch_models")
TRAINING = ("retrain_rankers", "judge_and_promote")
DAYS_ONE_BY_ONE = 3
WAIT_SECONDS = 420
FILE = "demo.toml"
"""In the demo's home: the settings that every process of its platform reads."""


class DemoError(RuntimeError):
    """The demo cannot start here; the message says what to do."""


@dataclass
class Story:
    """What the demo did, a step at a time, with the seconds that each took."""

    settings: Settings
    stop: str
    """The command that stops its platform."""
    steps: list[dict[str, Any]] = field(default_factory=list)

    @contextmanager
    def step(self, name: str) -> Iterator[Callable[[str], None]]:
        """Time a step, and print its line when it has ended."""
        started, said, at = time.monotonic(), [""], time.time()
        with show.console.status(f"{name} …"):
            yield lambda words: said.__setitem__(0, words)
        seconds = time.monotonic() - started
        self.steps.append({"step": name, "seconds": round(seconds, 1), "started": round(at, 1), "result": said[0]})
        show.console.print(f"[green]✓[/] {name} [dim]{seconds:.1f} s[/]  {said[0]}", highlight=False)

    def save(self) -> None:
        """Leave the steps beside the tables, for `make bench-demo`."""
        (self.settings.home / "demo.json").write_text(json.dumps(self.steps, indent=2))


def run(settings: Settings, *, source: str = "world", kill: bool = False, off_level: bool = False) -> dict[str, Any]:
    """Run the demo from nothing, print its story, and leave the platform up; what it found, as plain values.

    `source` is `world` or `talkingdata=PATH`. With `kill` a running task, the scheduler and the scoring
    service are each killed once on the way. With `off_level` a champion's probabilities are far too high on the last day but
    one, and it is waited until it has been recalibrated. What an earlier demo left is removed first; a folder with
    anything else in it is refused with a DemoError.
    """
    is_elsewhere = FILE_VARIABLE in os.environ
    settings = _prepared(settings, source)
    story = Story(settings, f"whence --settings {settings.home / FILE} down" if is_elsewhere else "make down")
    began = time.monotonic() - float(os.environ.get("WHENCE_INSTALL_SECONDS", "0"))
    if installed := os.environ.get("WHENCE_INSTALL_SECONDS"):
        story.steps.append({"step": "install", "seconds": float(installed), "result": "packages, by make"})
        show.console.print(f"[green]✓[/] install [dim]{installed} s[/]", highlight=False)
    window = _start(story)
    days = [Window(day, day) for day in window]
    alone = min(DAYS_ONE_BY_ONE, max(1, len(days) - 3))
    history, last_days = Window(window.first, days[-alone - 1].last), days[-alone:]

    airflow = Airflow(settings)
    _history(story, airflow, history)
    _first_champions(story, airflow, history)
    _drill(story, airflow, history)
    for number, day in enumerate(last_days):
        is_drill = off_level and number == len(last_days) - 2
        if is_drill:
            _put_off_level(story)
        _one_day(story, airflow, day, kills=("task", "scheduler", "serving") if kill and number == 0 else ())
        if is_drill:
            _level_returns(story, airflow, day)
    _loop_closes(story, airflow, last_days[-1])
    _roll_back(story)
    return _summary(story, began)


def _prepared(settings: Settings, source: str) -> Settings:
    """The demo's settings, written where every process of the platform reads them."""
    kind, _, path = source.partition("=")
    if kind == "world":
        first_bad = settings.world.first_day + timedelta(days=settings.world.days - 1)
        scenarios = settings.world.scenarios or (Scenario("signal_loss", first_bad),)
        settings = replace(settings, source=Source("world"), world=replace(settings.world, scenarios=scenarios))
    elif kind == "talkingdata":
        if not Path(path).is_file():
            raise ValueError(f"There is no file {path or '(none given)'}. Write --source talkingdata=PATH of a click log.")
        training = replace(settings.training, holdout_time=0.2)
        settings = replace(settings, source=Source("talkingdata", str(Path(path).resolve())), training=training)
    else:
        raise ValueError(f"The demo knows no source '{kind}'. Write --source world, or --source talkingdata=PATH.")
    file = settings.home / FILE
    if settings.home.exists() and any(settings.home.iterdir()) and not file.exists():
        raise DemoError(
            f"{settings.home} holds something that no demo made, and a demo starts from nothing. Set another home in whence.toml, "
            f"or call `whence --settings FILE demo` with one that does."
        )
    platform.down(settings)
    platform.wipe(settings)
    settings.home.mkdir(parents=True, exist_ok=True)
    file.write_text(as_toml(settings))
    os.environ[FILE_VARIABLE] = str(file)
    return settings


def as_toml(settings: Settings) -> str:
    """The settings as the text of a settings file."""
    import tomli_w

    def tidy(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: tidy(each) for name, each in value.items()}
        if isinstance(value, list | tuple):
            return [tidy(each) for each in value]
        return str(value) if isinstance(value, Path) else value

    return tomli_w.dumps(tidy(asdict(settings)))


def _start(story: Story) -> Window:
    """Start the platform, and make the world meanwhile."""
    from whence.ingest import source_days

    settings = story.settings
    with story.step("events of the source, and the platform") as said:
        worker = _Aside(lambda: _simulated(settings))
        healths = platform.up(settings)
        events = worker.result()
        said(f"{len(healths)} processes up; {events}")
    return source_days(settings)


def _simulated(settings: Settings) -> str:
    if settings.source.kind != "world":
        return f"clicks of {Path(settings.source.path).name}"
    from whence.world import simulate

    simulate(settings)
    return f"a world of {settings.world.people:,} people and {settings.world.days} days"


def _history(story: Story, airflow: Airflow, history: Window) -> None:
    """The past enters as one window for each DAG; ingest is started by hand, and each DAG starts the next.

    Nothing is trained before the past has its credit, so that no model of the demo credits the days it learned from.
    """
    with story.step(f"history {history} in one window through five DAGs") as said:
        airflow.trigger("ingest_events", history)
        for dag in DAILY[:4]:
            airflow.wait(dag, key=str(history), seconds=WAIT_SECONDS)
        said(scores.volume(story.settings, history))


def _first_champions(story: Story, airflow: Airflow, history: Window) -> None:
    key = str(Window(history.last, history.last))
    with story.step(f"models trained as of {key}, judged, and promoted") as said:
        before = _runs(airflow, "judge_and_promote")
        airflow.trigger("retrain_rankers", Window.parse(key))
        airflow.wait("retrain_rankers", key=key, seconds=WAIT_SECONDS)
        airflow.wait("judge_and_promote", key=key, after=before, seconds=WAIT_SECONDS)
        airflow.wait("watch_models", key=str(history), seconds=WAIT_SECONDS)
        said(scores.champions(story.settings))


def _drill(story: Story, airflow: Airflow, history: Window) -> None:
    key = str(Window(history.last, history.last))
    with story.step("a drill: candidates trained on shuffled labels") as said:
        trained, judged = _runs(airflow, "retrain_rankers"), _runs(airflow, "judge_and_promote")
        airflow.trigger("retrain_rankers", Window.parse(key), drill="shuffled_labels")
        airflow.wait("retrain_rankers", key=key, after=trained, seconds=WAIT_SECONDS)
        airflow.wait("judge_and_promote", key=key, after=judged, seconds=WAIT_SECONDS)
        said(scores.drill(story.settings, history.last))


def _one_day(story: Story, airflow: Airflow, day: Window, kills: tuple[str, ...]) -> None:
    with story.step(f"{day}, live and through five DAGs" + (", with three kills" if kills else "")) as said:
        live = _Aside(lambda: traffic.replay(story.settings, day))
        served = "" if kills else live.result()
        monkey = chaos.Monkey(story.settings, kills)
        airflow.trigger("ingest_events", day)
        for dag in DAILY:
            airflow.wait(dag, key=str(day), seconds=WAIT_SECONDS, tick=monkey.tick)
        said(f"{served or live.result()}; {scores.findings(story.settings, day)}{monkey.told()}")


def _put_off_level(story: Story) -> None:
    with story.step("a drill: a champion whose probabilities are far too high") as said:
        row = drills.put_off_level(story.settings, ATTRIBUTION_RANKER, who="demo", now=datetime.now(UTC))
        seconds = traffic.wait_for_bundle(story.settings, row.model, row.bundle)
        said(f"{row.model}: {row.previous[:8]} → {row.bundle[:8]}, served {seconds:.1f} s later")


def _level_returns(story: Story, airflow: Airflow, day: Window) -> None:
    """Nobody starts anything here: the day's finding does."""
    with story.step("recalibration that the watcher asked for") as said:
        airflow.wait("recalibrate_models", key=str(day), seconds=WAIT_SECONDS)
        airflow.wait("judge_and_promote", key=str(day), seconds=WAIT_SECONDS)
        said(scores.verdicts(story.settings, day.last))


def _loop_closes(story: Story, airflow: Airflow, day: Window) -> None:
    """If the watcher asked for it, a retraining is under way already; otherwise the user asks."""
    asked = any(run.key == str(day) for run in airflow.runs("retrain_rankers")) or scores.wants_retrain(story.settings, day)
    with story.step("retraining " + ("that the watcher asked for" if asked else "on request: the watcher saw no need")) as said:
        if not asked:
            airflow.trigger("retrain_rankers", day)
        airflow.wait("retrain_rankers", key=str(day), seconds=WAIT_SECONDS)
        airflow.wait("judge_and_promote", key=str(day), seconds=WAIT_SECONDS)
        said(scores.verdicts(story.settings, day.last))


def _roll_back(story: Story) -> None:
    import registry

    model = next((name for name in MODELS if scores.promotions(story.settings, name) > 1), None)
    with story.step("a rollback") as said:
        if model is None:
            said("not possible: no model has had two champions")
            return
        was = registry.champion(story.settings, model)
        registry.rollback(story.settings, model, who="demo", reason="a drill of the demo", now=datetime.now(UTC))
        now = registry.champion(story.settings, model)
        seconds = traffic.wait_for_bundle(story.settings, model, now.bundle if now else "")
        said(f"{model}: {was.bundle[:8] if was else '–'} → {now.bundle[:8] if now else '–'}, served {seconds:.1f} s later")


def _summary(story: Story, began: float) -> dict[str, Any]:
    settings = story.settings
    with story.step("measured against the truth"):
        found = scores.quality(settings)
    story.steps.append({"step": "total", "seconds": round(time.monotonic() - began, 1), "result": ""})
    story.save()
    show.console.print()
    show.rows(scores.registry_rows(settings), as_json=False, title="Champions")
    show.console.print()
    show.rows(found, as_json=False, title="How good it is")
    show.console.print()
    show.facts(platform.addresses(settings), as_json=False, title="Open")
    show.console.print(
        f"\n{story.steps[-1]['seconds']:.0f} s in all. `{story.stop}` stops it. The steps are in {settings.home / 'demo.json'}.",
        highlight=False,
        soft_wrap=True,  # to be copied
    )
    return {"steps": story.steps, "quality": [show.plain(each) for each in found]}


def _runs(airflow: Airflow, dag: str) -> frozenset[str]:
    return frozenset(run.run_id for run in airflow.runs(dag))


class _Aside:
    """A piece of work in a thread of its own; its error comes out where the result is asked for."""

    def __init__(self, work: Callable[[], str]) -> None:
        self._work, self._result = work, ""
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result = self._work()
        except BaseException as error:
            self._error = error

    def result(self) -> str:
        self._thread.join()
        if self._error:
            raise self._error
        return self._result
