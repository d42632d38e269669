"""Settings come from one TOML file, and a wrong one is named with its place."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from infra.demo import as_toml
from whence.contracts.settings import Scenario, SettingsError, load

REPOSITORY = Path(__file__).parents[1]


def write(folder: Path, text: str) -> Path:
    file = folder / "whence.toml"
    file.write_text(text)
    return file


def test_an_empty_file_gives_the_defaults_with_home_beside_it(tmp_path: Path):
    settings = load(write(tmp_path, ""))
    assert settings.home == tmp_path / ".whence"
    assert settings.tables_uri == str(tmp_path / ".whence" / "tables")


def test_the_example_file_says_what_the_defaults_are(tmp_path: Path):
    assert replace(load(REPOSITORY / "infra" / "whence.toml"), home=tmp_path) == replace(load(write(tmp_path, "")), home=tmp_path)


def test_settings_written_as_toml_are_read_back_equal(tmp_path: Path):
    settings = load(write(tmp_path, ""))
    wanted = replace(settings, world=replace(settings.world, people=12, scenarios=(Scenario("bot_flood", date(2026, 5, 3)),)))
    assert load(write(tmp_path, as_toml(wanted))) == wanted


def test_where_events_come_from_is_found_from_the_file_whoever_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = write(tmp_path, "[source]\nkind = 'mapping'\npath = 'events/may.csv'\nmapping = 'mapping.toml'")
    monkeypatch.chdir("/")
    assert load(file).source.path == str(tmp_path / "events" / "may.csv")
    assert load(file).source.mapping == str(tmp_path / "mapping.toml")
    assert load(write(tmp_path, "[source]\npath = 's3://bucket/key'")).source.path == "s3://bucket/key"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[world]\npeopel = 3", "there is no setting 'peopel'. Known here: days, first_day, people"),
        ("[world]\npeople = 'many'", "world: people must be int, and is 'many'"),
        ("[ports]\nairflow = true", "airflow must be int, and is True"),
        ("[world", "is no TOML"),
        ("home = 5", "home must be str, and is 5"),
        ("source = 'world'", "source must be a section of settings, and is 'world'"),
        ("[tables.options]\nAWS_REGION = 1", "options: AWS_REGION must be str, and is 1"),
        ("[identity]\ncut = 7", "identity: cut cannot be 7. It may be 0 to 1."),
        ("[tables]\nmemory_limit = '2XB'", "tables: memory_limit cannot be '2XB'. It may be like 2GB."),
        ("[ports]\nfront = 99999", "ports: front cannot be 99999. It may be 1 to 65535."),
        ("[monitoring]\nrollback = 'nobody'", "monitoring: rollback cannot be 'nobody'. It may be person, automatic."),
        ("[[world.scenarios]]\nname = 'x'\nfrom = 2026-05-01", "there is no setting 'from'"),
    ],
)
def test_a_wrong_setting_is_named_with_its_place(tmp_path: Path, text: str, says: str):
    with pytest.raises(SettingsError) as refused:
        load(write(tmp_path, text))
    assert says in str(refused.value)


def test_a_file_that_is_named_but_not_there_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WHENCE_SETTINGS", str(tmp_path / "none.toml"))
    with pytest.raises(SettingsError, match="There is no settings file"):
        load()
