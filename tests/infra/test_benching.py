import json
import math
import os
import sys
from functools import partial
from pathlib import Path

import pytest

from infra import bench_demo
from infra.benching import BenchError, Row, Runs, about, absent, interleaved, measured, median_range, ratio, verdict, write

FACTS = about("make bench", ("numpy",))


def test_a_command_is_timed_and_its_last_line_read() -> None:
    found = interleaved({"one": [sys.executable, "-Sc", "print('x'); print('[1, 2]')"]}, runs=2)["one"]
    assert found.answers == ([1, 2], [1, 2])
    assert len(found.cpu) == len(found.peak_mb) == 2
    assert 0 < found.median < 5


def test_jobs_take_turns_and_the_second_round_goes_backwards(tmp_path: Path) -> None:
    log = tmp_path / "log"
    say = "import sys; open(sys.argv[1], 'a').write(sys.argv[2])"
    interleaved({name: [sys.executable, "-Sc", say, str(log), name] for name in "ab"}, runs=2)
    assert log.read_text() == "abba"


def test_a_job_that_fails_is_named_with_what_it_said() -> None:
    with pytest.raises(BenchError, match=r"'bad' ended with 1(.|\n)*ZeroDivisionError"):
        interleaved({"bad": [sys.executable, "-Sc", "1 / 0"]}, runs=1)


def test_a_function_runs_in_a_process_of_its_own_and_tells_its_peak() -> None:
    found = interleaved({"cores": os.cpu_count}, runs=1)["cores"]
    assert found.answers == (os.cpu_count(),)
    assert 5 < found.peak_mb[0] < 100


def test_a_function_is_given_its_words_and_numbers() -> None:
    found = interleaved({"pow": partial(math.pow, 2, 3)}, runs=1)["pow"]
    assert found.answers == (8.0,)


def test_the_interval_of_a_ratio_holds_the_ratio() -> None:
    found = ratio([2.0, 3.0, 2.5, 2.2, 2.4], [6.0, 7.0, 8.0, 7.5, 6.5])
    assert found.value == pytest.approx(2.4 / 7.0)
    assert found.low <= found.value <= found.high
    assert found == ratio([2.0, 3.0, 2.5, 2.2, 2.4], [6.0, 7.0, 8.0, 7.5, 6.5])


def test_a_short_row_makes_the_exit_code_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [Row("speed", "3", "[2, 4]", "≤ 2", "short", "it swapped"), Row("size", "1", target="≤ 2", verdict="met")]
    assert write("x", rows, FACTS, title="X", folder=tmp_path) == 1
    assert write("x", rows[1:], FACTS, title="X", folder=tmp_path) == 0
    assert "short | speed | 3 | [2, 4] | ≤ 2 | it swapped" in capsys.readouterr().out


def test_renewing_one_part_leaves_the_others(tmp_path: Path) -> None:
    for part, figure in (("first", "1"), ("second", "2"), ("first", "3")):
        write("x", [Row(part, figure)], FACTS, title="X", part=part, folder=tmp_path)
    parts = json.loads((tmp_path / "x.json").read_text())["parts"]
    assert {name: each["rows"][0]["figure"] for name, each in parts.items()} == {"first": "3", "second": "2"}
    assert "## Second" in (tmp_path / "x.md").read_text()
    assert parts["first"]["about"]["versions"]["numpy"]


def test_absent_data_are_said_and_judged_neither_way() -> None:
    assert absent("abt-buy", "≥ 92") == Row("abt-buy", "not measured: data absent", target="≥ 92", verdict="-")
    assert [verdict(met=True), verdict(met=False)] == ["met", "short"]


def test_a_part_that_nobody_wrote_is_told_by_name() -> None:
    assert measured("infra.bench_identity", "nothing_of_the_kind", 1)[0].figure == "not measured: not written yet"


def test_the_median_of_runs_is_of_cpu_seconds() -> None:
    assert Runs((3.0, 1.0, 2.0), (1.0, 1.0, 1.0), (None, None, None)).median == median_range([3.0, 1.0, 2.0]).value


def test_the_demo_shows_each_step_with_its_range() -> None:
    step = {"step": "load", "seconds": 2.0, "peak_mb": 10.0}
    runs = [{"total": 5.0, "install": 1.0, "second_start": 1.0, "peak_mb": 10.0, "idle_mb": 4.0, "steps": [step], "quality": []}]
    assert bench_demo.table(runs)[0].verdict == "met"
    assert "| load | 2 s [2, 2] | 10 MB [10, 10] |" in bench_demo.steps(runs)
