"""Drafts of mappings: what a stranger's columns and words are taken for, and that the source can be taken in by what was drafted."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.builders import some_settings
from whence.contracts.settings import Source
from whence.ingest import IngestError, guessing, ingest, source_days, suggest
from whence.lake import Lake

AGENT = "Mozilla/5.0 (X11; Linux x86_64)"
MAIL = hashlib.sha256(b"jane@doe.example").hexdigest()


def drafted(source: Path, folder: Path) -> tuple[str, dict[str, list[dict[str, Any]]]]:
    """A source's draft, and what it takes in."""
    text = suggest(source, folder / "map.toml")
    settings = some_settings(folder, source=Source(kind="mapping", path=str(source), mapping=str(folder / "map.toml")))
    found = ingest(settings, source_days(settings))
    assert not any(tally.quarantined for tally in found.tables.values()), text
    lake = Lake.of(settings)
    rows = {table: lake.read(table).to_pylist() for table in found.tables}
    return text, {table: sorted(part, key=lambda row: str(row["happened_at"])) for table, part in rows.items()}


def test_a_draft_never_takes_the_place_of_what_is_there(tmp_path: Path) -> None:
    events, mapping = tmp_path / "events.csv", tmp_path / "mapping.toml"
    events.write_text("time,event,campaign,user_id\n2026-05-01T10:00:00Z,click,brand,u1\n")
    assert suggest(events, mapping) == suggest(events, mapping) == mapping.read_text()
    mapping.write_text("corrected by hand")
    for there in (mapping, events):
        with pytest.raises(IngestError, match=r"is there already, and is not this draft\. Name another file by --out"):
            suggest(events, there)
    assert mapping.read_text() == "corrected by hand"


def test_a_draft_of_a_mapping_reads_the_file_that_it_was_drafted_from(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text(
        "messageId,timestamp,type,utm_campaign,utm_medium,cost,currency,email,remote_addr,userAgent\n"
        "m1,2026-05-01T10:00:00Z,impression,brand,search,0.02,EUR,jane@doe.example,10.0.0.1,Chrome 137\n"
        "m2,2026-05-01T10:05:00Z,click,brand,search,0.70,EUR,,10.0.0.2,Chrome 137\n"
    )
    text, rows = drafted(path, tmp_path)
    assert (tmp_path / "map.toml").read_text() == text
    view, click = rows["touches"]
    assert (view["event_id"], view["kind"], view["campaign_id"], view["channel"]) == ("m1", "view", "brand", "search")
    assert (click["kind"], click["price_micros"], click["user_agent"]) == ("click", 700_000, "Chrome 137")
    assert view["email_hash"] == MAIL
    assert len(str(view["ip_key"])) == 16


def test_a_draft_sees_what_values_look_like_whatever_the_column_is_called(tmp_path: Path) -> None:
    path = tmp_path / "odd.csv"
    path.write_text("a,b,c,order,revenue,currency\njane@doe.example,10.0.0.1,x,1,5,EUR\njoe@doe.example,10.0.0.2,y,2,6,EUR\n")
    text = suggest(path)
    assert 'email_hash = { column = "a", hash = "email" }' in text
    assert 'ip_key = { column = "b", hash = "ip" }' in text
    assert "[conversions]" in text
    assert "# Columns that were not used: c." in text


def test_a_log_of_all_sorts_of_events_becomes_touches_conversions_and_sightings(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text(
        "event_timestamp,event_name,user_pseudo_id,campaign,medium,source,email_sha256,ip_address,user_agent,purchase_revenue,currency,transaction_id\n"
        f'2026-05-01T10:00:00Z,ad_impression,c1,spring,cpc,google,,84.1.2.3,"{AGENT}",,,\n'
        f'2026-05-01T11:00:00Z,ad_click,c1,spring,cpc,google,,84.1.2.3,"{AGENT}",,,\n'
        f'2026-05-01T12:00:00Z,begin_checkout,c1,,,,{MAIL},84.1.2.3,"{AGENT}",,,\n'
        f'2026-05-01T13:00:00Z,purchase,c1,,,,{MAIL},84.1.2.3,"{AGENT}",12.50,EUR,O1\n'
        f'2026-05-01T14:00:00Z,sign_up,c1,,,,,84.1.2.3,"{AGENT}",,,\n'
        f'2026-05-02T13:00:00Z,refund,c1,,,,,84.1.2.3,"{AGENT}",12.50,EUR,O1\n'
    )
    text, rows = drafted(log, tmp_path)
    assert [(row["kind"], row["campaign_id"], row["channel"]) for row in rows["touches"]] == [
        ("view", "spring", "cpc"),
        ("click", "spring", "cpc"),
    ]
    assert [(row["kind"], row["value_micros"], row["currency"]) for row in rows["conversions"]] == [
        ("purchase", 12_500_000, "EUR"),
        ("sign_up", 0, "EUR"),
        ("refund", -12_500_000, "EUR"),
    ]
    assert [(row["kind"], row["cookie_id"], row["email_hash"]) for row in rows["sightings"]] == [("visit", "c1", MAIL)]
    assert "# Columns that were not used: source." in text
    assert "# Of the first 6 rows it makes 2 of touches, 3 of conversions, 1 of sightings; 0 would go to quarantine." in text


def test_visits_that_a_campaign_brought_are_the_touches_of_a_log_without_ads(tmp_path: Path) -> None:
    log = tmp_path / "segment.csv"
    log.write_text(
        "id,received_at,original_timestamp,anonymous_id,event,context_campaign_name,context_campaign_medium,revenue\n"
        "m1,2026-05-01T10:00:05Z,2026-05-01T10:00:00Z,a1,Product Viewed,fall,email,\n"
        "m2,2026-05-01T11:00:05Z,2026-05-01T11:00:00Z,a1,Order Completed,,,12\n"
    )
    _, rows = drafted(log, tmp_path)
    assert [(row["kind"], row["campaign_id"], row["channel"]) for row in rows["touches"]] == [("click", "fall", "email")]
    assert [(row["kind"], row["event_id"]) for row in rows["conversions"]] == [("purchase", "m2")]
    assert rows["touches"][0]["seen_at"] > rows["touches"][0]["happened_at"]


def test_a_log_of_pages_tells_of_campaigns_in_its_addresses(tmp_path: Path) -> None:
    log = tmp_path / "pages.csv"
    log.write_text(
        "ts,url,visitor_id,event,amount,ccy\n"
        "2026-05-01T10:00:00Z,https://shop.example/?utm_campaign=spring%20sale&utm_medium=cpc&gclid=C1,v1,page,,\n"
        "2026-05-01T10:01:00Z,https://[shop.example/?utm_campaign=x,v1,page,,\n"
        "2026-05-01T10:05:00Z,https://shop.example/thanks,v1,purchase,20.5,EUR\n"
    )
    _, rows = drafted(log, tmp_path)
    assert [(row["campaign_id"], row["channel"], row["click_id"]) for row in rows["touches"]] == [("spring sale", "cpc", "C1")]
    assert [(row["value_micros"], row["click_id"]) for row in rows["conversions"]] == [(20_500_000, None)]
    assert len(rows["sightings"]) == 2


def test_further_lines_of_an_order_are_no_orders(tmp_path: Path) -> None:
    log = tmp_path / "orders.csv"
    log.write_text("Id,Created at,Total,Currency,Lineitem\n7,2026-05-01T10:00:00Z,30,EUR,shirt\n,2026-05-01T10:00:00Z,,,shoes\n")
    _, rows = drafted(log, tmp_path)
    assert [(row["order_id"], row["value_micros"]) for row in rows["conversions"]] == [("7", 30_000_000)]


def test_an_apps_events_and_its_installs_may_have_their_kinds_in_different_columns(tmp_path: Path) -> None:
    log = tmp_path / "callbacks.csv"
    log.write_text(
        "activity_kind,created_at,click_time,campaign_name,network_name,gps_adid,event_name,revenue,currency\n"
        "click,1777629600,1777629600,spring,meta,g1,,,\nimpression,1777629601,,spring,meta,g2,,,\n"
        "install,1777629700,1777629600,spring,meta,g1,,,\nevent,1777629800,,spring,meta,g1,purchase,9.5,EUR\n"
    )
    _, rows = drafted(log, tmp_path)
    assert [row["kind"] for row in rows["touches"]] == ["click", "view"]
    assert [(row["kind"], row["value_micros"]) for row in rows["conversions"]] == [("install", 0), ("purchase", 9_500_000)]


def test_a_conversion_that_tells_of_its_own_touch_gives_both(tmp_path: Path) -> None:
    log = tmp_path / "installs.csv"
    log.write_text(
        "Attributed Touch Type,Attributed Touch Time,Event Time,Event Name,Event Revenue,Event Revenue Currency,Media Source,Campaign,IDFA,Advertising ID\n"
        "impression,2026-05-01 09:00:00,2026-05-01 10:00:00,install,,,google,uac,,d1\n"
        ",,2026-05-01 11:00:00,af_purchase,9.99,USD,organic,,,d2\n"
    )
    text, rows = drafted(log, tmp_path)
    [touch] = rows["touches"]
    assert (touch["kind"], touch["campaign_id"], touch["device_id"]) == ("view", "uac", "d1"), (
        "the column that holds ids, not the empty one"
    )
    assert touch["happened_at"] < touch["seen_at"] == rows["conversions"][0]["happened_at"]
    assert [(row["kind"], row["value_micros"]) for row in rows["conversions"]] == [("install", 0), ("purchase", 9_990_000)]
    assert text.count("its times carry no zone: is it UTC?") == 3


def test_a_touch_that_several_rows_tell_of_is_one_and_devices_of_two_makers_are_in_one_field(tmp_path: Path) -> None:
    log, touch = tmp_path / "in-app.csv", "click,2026-05-01 09:00:00,spring,social"
    log.write_text(
        "Attributed Touch Type,Attributed Touch Time,Campaign,Channel,Event Time,Event Name,Event Revenue,Event Revenue Currency,"
        "IDFA,Advertising ID\n"
        f"{touch},2026-05-01 10:00:00,install,,,,G-1\n"
        f"{touch},2026-05-01 11:00:00,af_purchase,9.5,EUR,,G-1\n"
        f"{touch.replace('09', '08')},2026-05-01 12:00:00,install,,,I-1,\n"
    )
    text, rows = drafted(log, tmp_path)
    assert 'device_id = ["IDFA", "Advertising ID"]' in text
    assert sorted(row["device_id"] for row in rows["touches"]) == ["G-1", "I-1"]
    assert len(rows["conversions"]) == 3


def test_clicks_and_orders_with_german_headers_and_decimal_commas_are_found(tmp_path: Path) -> None:
    folder = tmp_path / "de"
    folder.mkdir()
    (folder / "klicks.csv").write_text("GCLID;Klickzeit;Kampagne;Kosten\nC1;01.05.2026 09:00:00;marke;0,15\n")
    (folder / "auftraege.csv").write_text(
        "Auftragsnummer;Datum;Betrag;Währung;E-Mail\n7;13.05.2026 10:00;1.052,44;EUR;jane@doe.example\n"
    )
    _, rows = drafted(folder, tmp_path)
    assert [(row["campaign_id"], row["click_id"], row["price_micros"]) for row in rows["touches"]] == [("marke", "C1", 150_000)]
    assert [(row["order_id"], row["value_micros"], row["email_hash"]) for row in rows["conversions"]] == [
        ("7", 1_052_440_000, MAIL)
    ]


def test_a_folder_of_files_with_other_columns_gets_a_section_for_each(tmp_path: Path) -> None:
    folder = tmp_path / "export"
    (folder / "clicks").mkdir(parents=True)
    for day in (1, 2):
        (folder / "clicks" / f"2026-05-0{day}.csv").write_text(
            f"ts;campaign;network;gclid\n0{day}.05.2026 10:00;spring;google;g{day}\n"
        )
    (folder / "views.csv").write_text("seen;campaign;network\n")
    (folder / "orders.csv").write_text("order_id;created_at;total;currency;gclid\nO1;2026-05-02T12:00:00Z;12.0;EUR;g1\n")
    text, rows = drafted(folder, tmp_path)
    assert [row["click_id"] for row in rows["touches"]] == ["g1", "g2"]
    assert [(row["order_id"], row["value_micros"]) for row in rows["conversions"]] == [("O1", 12_000_000)]
    assert 'files = "clicks/*.csv"' in text
    assert text.count("[[touches]]") == 2
    (folder / "stray.csv").write_text("a;b\n1;2\n")
    settings = some_settings(tmp_path, source=Source(kind="mapping", path=str(folder), mapping=str(tmp_path / "map.toml")))
    with pytest.raises(IngestError, match=r"No section of the mapping reads stray\.csv"):
        source_days(settings)


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("13.05.2026 10:00", '{ column = "time", form = "%d.%m.%Y %H:%M", zone = "UTC" }  # its times carry no zone: is it UTC?'),
        (
            "03/05/2026 10:00",
            '{ column = "time", form = "%d/%m/%Y %H:%M", zone = "UTC" }  # its times carry no zone: is it UTC?; '
            "or is it %m/%d/%Y %H:%M: day and month cannot be told apart",
        ),
        ("03/25/2026 10:00 PM", '{ column = "time", form = "%m/%d/%Y %I:%M %p", zone = "UTC" }'),
        ("1777629600", '{ column = "time", unit = "s" }'),
        ("1777629600000", '{ column = "time", unit = "ms" }'),
        ("1777629600000000", '{ column = "time", unit = "us" }'),
        ("2026-05-01 10:00:00", '{ column = "time", zone = "UTC" }'),
        ("2026-05-01T10:00:00+02:00", '"time"'),
    ],
)
def test_times_are_told_as_they_are_written(tmp_path: Path, value: str, line: str) -> None:
    path = tmp_path / "times.csv"
    path.write_text(f"time,type,campaign,channel\n{value},click,a,b\n")
    assert f"happened_at = {line}" in suggest(path)


def test_what_a_draft_would_refuse_is_told_in_it(tmp_path: Path) -> None:
    path = tmp_path / "odd.csv"
    path.write_text("time,type,campaign,channel,cost\n2026-05-01T10:00:00Z,click,a,b,-1\n")
    text = suggest(path)
    assert "# Of the first row it makes 0 of touches; 1 would go to quarantine." in text
    assert "#   row 1, touches: price_micros is -1000000; nobody is paid to show an ad." in text
    path.write_text("who,what\nx,y\n")
    text = suggest(path)
    assert "# It cannot be used as it is: The mapping's constant for happened_at is '?'." in text
    assert "# No touches were found; without them nothing can earn credit." in text


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("AdClicked", ("touches", "click")),
        ("video_view", ("touches", "view")),
        ("screen_view", None),
        ("Checkout Started", None),
        ("start_trial", ("conversions", "subscribe")),
        ("generate_lead", ("conversions", "generate_lead")),
        ("order cancelled", None),
    ],
)
def test_words_mean_a_table(word: str, meant: tuple[str, str] | None) -> None:
    assert guessing.meaning(word) == meant


def test_a_table_of_a_database_is_drafted_by_its_name_and_its_empty_texts_are_no_values(tmp_path: Path) -> None:
    path = f"sqlite:///{tmp_path / 'log.db'}"
    with closing(sqlite3.connect(tmp_path / "log.db")) as con:
        con.execute("CREATE TABLE log (time, event, campaign, medium, revenue, currency)")
        con.executemany(
            "INSERT INTO log VALUES (?, ?, ?, ?, ?, ?)",
            [("2026-05-01T10:00:00Z", "click", "a", "b", "", ""), ("2026-05-01T11:00:00Z", "purchase", "", "", "2.5", "EUR")],
        )
        con.commit()
    with pytest.raises(IngestError, match=r"Name the tables that hold events with --table, as clicks,orders: log\."):
        suggest(path)
    text = suggest(path, tmp_path / "map.toml", "log")
    assert "# Of the first 2 rows it makes 1 of touches, 1 of conversions; 0 would go to quarantine." in text
    settings = some_settings(tmp_path, source=Source(kind="mapping", path=path, mapping=str(tmp_path / "map.toml")))
    tables = ingest(settings, source_days(settings)).tables
    assert (tables["touches"].accepted, tables["conversions"].accepted) == (1, 1)


def a_hit(name: str, at: int, campaign: str, **more: Any) -> dict[str, Any]:
    told = {"campaign": campaign, "medium": "cpc", "ga_session_id": "1777629600"}
    params = [{"key": key, "value": {"string_value": value}} for key, value in told.items()]
    return {
        "event_timestamp": str(1777629600000000 + at),
        "event_name": name,
        "event_params": params,
        "user_pseudo_id": "v1",
        **more,
    }


def test_a_days_files_of_an_analytics_export_are_one_log_though_some_lack_what_is_rare(tmp_path: Path) -> None:
    export = tmp_path / "export"
    export.mkdir()
    paid = {"ecommerce": {"transaction_id": "T1", "purchase_revenue": 12.5, "currency": "USD"}, "user_id": "u7"}
    days = [
        [a_hit("session_start", 1, "brand"), a_hit("page_view", 2, "brand"), a_hit("page_view", 3, "(direct)")],
        [a_hit("purchase", 4, "(direct)", **paid)],
    ]
    for day, hits in enumerate(days):
        (export / f"events_{day}.json").write_text("".join(f"{json.dumps(hit)}\n" for hit in hits))
    text, rows = drafted(export, tmp_path)
    assert "files" not in text
    [touch] = rows["touches"]
    assert (touch["campaign_id"], touch["channel"], touch["cookie_id"]) == ("brand", "cpc", "v1")
    [sale] = rows["conversions"]
    assert (sale["value_micros"], sale["currency"], sale["order_id"]) == (12_500_000, "USD", "T1")
    assert len(rows["sightings"]) == 3


def test_calls_of_a_customer_data_platform_are_orders_and_what_was_seen(tmp_path: Path) -> None:
    log, common = tmp_path / "calls.jsonl", {"anonymousId": "a1", "context": {"ip": "87.101.253.178"}}
    calls = [
        {"type": "page", "name": "Home", "timestamp": "2026-05-01T10:00:00Z", **common},
        {
            "type": "track",
            "event": "Order Completed",
            "timestamp": "2026-05-01T10:05:00Z",
            "properties": {"order_id": "o1", "revenue": 20, "currency": "USD", "email": "jane@doe.example"},
            **common,
        },
        {"type": "identify", "timestamp": "2026-05-01T10:06:00Z", "traits": {"email": "jane@doe.example"}, **common},
    ]
    log.write_text("".join(f"{json.dumps(call)}\n" for call in calls))
    _, rows = drafted(log, tmp_path)
    [sale] = rows["conversions"]
    assert (sale["kind"], sale["value_micros"], sale["cookie_id"]) == ("purchase", 20_000_000, "a1")
    assert sorted(row["kind"] for row in rows["sightings"]) == ["login", "visit"]
    assert {row["email_hash"] for row in rows["sightings"]} == {None, sale["email_hash"]}


def test_several_tables_of_a_database_are_drafted_and_read_together(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "shop.db")) as link:
        link.execute("CREATE TABLE clicks (gclid TEXT, clicked_at TEXT, campaign TEXT, channel TEXT)")
        link.execute("CREATE TABLE orders (id INTEGER, created_at TEXT, total TEXT, currency TEXT, gclid TEXT)")
        link.execute("INSERT INTO clicks VALUES ('C1', '2026-05-01 10:00:00', 'brand', 'search')")
        link.execute("INSERT INTO orders VALUES (7, '2026-05-01 11:00:00', '12.5', 'EUR', 'C1')")
        link.commit()
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    text = suggest(url, tmp_path / "map.toml", "clicks,orders")
    assert 'table = ["clicks", "orders"]' in text
    settings = some_settings(tmp_path, source=Source(kind="mapping", path=url, mapping=str(tmp_path / "map.toml")))
    found = ingest(settings, source_days(settings))
    assert (found.tables["touches"].accepted, found.tables["conversions"].accepted, found.total.quarantined) == (1, 1, 0)
    assert {row["click_id"] for row in Lake.of(settings).read("conversions").to_pylist()} == {"C1"}


def test_an_ad_servers_log_has_its_price_of_a_thousand_its_own_currency_and_a_word_on_what_names_a_row(tmp_path: Path) -> None:
    path = tmp_path / "adlog.tsv"
    row = "{ms}\t{kind}\trq{ms}\tc1\tdisplay\tck1\t{cpm}\tEUR\t{paid}\t{money}\t{order}"
    path.write_text(
        "event_time\tevent_type\trequest_id\tcampaign_id\tmedium\tcookie_id\tprice_cpm\tprice_currency\trevenue\trevenue_currency\torder_id\n"
        + row.format(ms=1777629600000, kind="IMP", cpm="2.50", paid="", money="", order="")
        + "\n"
        + row.format(ms=1777629660000, kind="CONV", cpm="", paid="19.90", money="GBP", order="o1")
        + "\n"
    )
    text, rows = drafted(path, tmp_path)
    assert [(each["price_micros"], each["currency"]) for each in rows["touches"]] == [(2_500, "EUR")]
    assert [(each["kind"], each["value_micros"], each["currency"]) for each in rows["conversions"]] == [
        ("purchase", 19_900_000, "GBP")
    ]
    assert 'request_id differs from row to row: if it names the event, write event_id = "request_id".' in text


def test_an_apps_tests_are_left_out_its_negative_rows_are_refunds_and_a_cost_has_its_own_currency(tmp_path: Path) -> None:
    path = tmp_path / "app.csv"
    at = "2026-05-01 1{}:00:00"
    touch = f"click,{at.format(0)},c1,social,0.80,USD,00000000-0000-0000-0000-000000000000,1777-42"
    events = [
        ("af_purchase", "9.99", "A1", "false"),
        ("af_purchase", "-9.99", "A1", "false"),
        ("af_purchase", "50", "A2", "true"),
    ]
    lines = [
        f"{touch},{at.format(1 + i)},{name},{paid},EUR,{order},{is_test}" for i, (name, paid, order, is_test) in enumerate(events)
    ]
    path.write_text(
        "Attributed Touch Type,Attributed Touch Time,Campaign ID,Channel,Cost Value,Cost Currency,IDFA,AppsFlyer ID,"
        "Event Time,Event Name,Event Revenue,Event Revenue Currency,Order ID,Is Test\n" + "\n".join(lines) + "\n"
    )
    text, rows = drafted(path, tmp_path)
    told = [(each["kind"], each["value_micros"], each["currency"], each["order_id"]) for each in rows["conversions"]]
    assert told == [("purchase", 9_990_000, "EUR", "A1"), ("refund", -9_990_000, "EUR", "A1")]
    assert [(each["price_micros"], each["currency"]) for each in rows["touches"]] == [(800_000, "USD")]
    assert {each["device_id"] for table in ("touches", "conversions") for each in rows[table]} == {"1777-42"}, "no zeroed id"
    assert "Is Test" not in next(line for line in text.splitlines() if line.startswith("# Columns that were not used"))


def test_an_order_in_two_systems_goes_by_the_name_that_both_know(tmp_path: Path) -> None:
    folder = tmp_path / "exports"
    folder.mkdir()
    shop = [
        {
            "id": 7_000 + i,
            "name": f"#{i}",
            "created_at": f"2026-05-01T1{i}:00:00Z",
            "total_price": "9.90",
            "currency": "EUR",
            "refunds": [{"amount": "9.90"}],
        }
        for i in range(4)
    ]
    books = [{"Bestellnummer": f"#{i}", "Datum": f"01.05.2026 1{i}:00:00", "Betrag": "9,90", "Währung": "EUR"} for i in range(3)]
    visit = {"event": "page_view", "ts": "2026-05-01T09:00:00Z", "message_id": "m1", "anonymous_id": "ck1"}
    visits = [
        visit | {"url": "https://shop.example/?utm_campaign=brand&utm_medium=cpc"},
        visit | {"message_id": "m2", "url": "https://shop.example/"},
    ]
    for name, told in (("shop", shop), ("books", books), ("visits", visits)):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, told)))
    text, rows = drafted(folder, tmp_path)
    assert "# refunds holds lists of objects, which this draft leaves alone" in text
    assert sorted(each["order_id"] for each in rows["conversions"]) == ["#0", "#0", "#1", "#1", "#2", "#2", "#3"]
    assert [(each["event_id"], each["kind"], each["campaign_id"], each["channel"]) for each in rows["touches"]] == [
        ("m1", "click", "brand", "cpc")
    ], "who comes by a campaign has clicked its ad"
    assert sorted(each["event_id"] for each in rows["sightings"]) == ["m1", "m2"]


def test_a_shops_orders_are_worth_their_total_voided_ones_nothing_and_what_was_paid_back_is_told(tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text(
        "Id,Email,Financial Status,Currency,Taxes,Discount Amount,Refunded Amount,Total,Created at\n"
        "1,jane@doe.example,paid,EUR,1.00,0.00,0.00,49.90,2026-05-01 10:00:00 +0200\n"
        '2,,,EUR,1.00,0.00,20.00,"1,070.00",2026-05-01 11:00:00 +0200\n'
        "3,,voided,EUR,1.00,0.00,0.00,70.00,2026-05-01 12:00:00 +0200\n"
        "4,,refunded,EUR,1.00,0.00,0.00,5.00,2026-05-01 13:00:00 +0200\n"
    )
    text, rows = drafted(path, tmp_path)
    told = {each["order_id"]: each["value_micros"] for each in rows["conversions"]}
    assert told == {"1": 49_900_000, "2": 1_070_000_000, "4": 5_000_000}
    assert "# Refunded Amount may hold what was paid back. A further section of conversions takes it" in text
