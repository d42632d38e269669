"""The front page as HTML: one screen, light and dark, nothing loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape

from monitoring import findings
from monitoring.attribution_report import plots
from monitoring.attribution_report.amounts import percent, shown
from monitoring.attribution_report.words import algorithm
from monitoring.front.state import ALARM, FAILED, Dag, Found, Standing, State
from whence import page

MARKS = {"calm": "●", "alarm": "■", "success": "●", "running": "◐", "queued": "◌", "failed": "■", "none": "○"}
"""A shape for each state, so that it can be told without colour."""
FIRST = "no day was watched yet: in Airflow, trigger ingest_events with its days, such as 2026-05-01..2026-05-14"
UNTRAINED = "No model serves yet: in Airflow, trigger retrain_rankers with the last day as its partition key; whence judge DAY says why none passed."
WORDS = {findings.CALM: "All calm", findings.WARN: "Look at it today", ALARM: "See the alarm", FAILED: "A run failed"}
MOST_FOUND = 4
SHOWN_DAYS = 7


def html(state: State, addresses: Mapping[str, str], dashboards: Mapping[str, str]) -> str:
    """The whole page; `addresses` are the tools by name, `dashboards` those of models. Every value of the data is escaped."""
    body = [
        plots.HATCH,
        _links(addresses),
        _head(state),
        "<div class=grid>",
        _card("What was found", _found_lead(state), _found(state)),
        _card("Who serves", _standings_lead(state), _standings(state, dashboards)),
        _card("Who earned what", _credit_lead(state), _channels(state)),
        _card("Who is known", "The share of conversions whose person a log-in names, day by day.", _matched(state)),
        _card("Does it run", f"{_dag_lead(state.dags)} {_answered(state.answers)}", _dags(state.dags)),
        _card("Ask why", "The largest conversions of the newest day: credit, identity, features, model.", _conversions(state)),
        "</div>",
    ]
    return page.document("whence", "".join(body), plots.STYLE + STYLE)


def _links(addresses: Mapping[str, str]) -> str:
    each = "".join(f"<a href='{escape(to, quote=True)}'>{escape(name)}</a>" for name, to in addresses.items())
    return f"<nav aria-label='The tools'>{each}</nav>"


def _head(state: State) -> str:
    day = f"{state.day} was watched" if state.day else FIRST
    word = (
        WORDS.get(state.level, f"Act: {state.level.replace('_', ' ')}")
        if state.day or state.level != findings.CALM
        else "Nothing to say yet"
    )
    source = " · a simulated world" if state.source == "world" else ""
    return (
        f"<p class='state {escape(state.level)}' role=status><b>{_mark(state.level)} {escape(word)}</b>"
        f"<span>{escape(day)}{source} · looked at {state.made_at:%H:%M:%S} UTC</span></p>"
    )


def _card(title: str, lead: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2><p>{escape(lead)}</p>{body}</section>"


def _found_lead(state: State) -> str:
    loud = len(state.found)
    if not state.day:
        return "Findings come with the first day that was watched."
    return f"{loud} finding{'s' * (loud != 1)} on {state.day}." if loud else "No measure is off, by what clean days there are."


def _found(state: State) -> str:
    """The first finding of each level and subject, with the number of those like it."""
    groups: dict[tuple[str, str], list[Found]] = {}
    for each in state.found:
        groups.setdefault((each.level, each.about), []).append(each)
    shown = list(groups.values())[:MOST_FOUND]
    rows = "".join(_like(alike) for alike in shown)
    hidden = len(state.found) - sum(len(alike) for alike in shown)
    rest = f"<p><a href='/findings'>{f'{hidden} more, and ' if hidden else ''}all days</a></p>"
    columns = [
        plots.Column(day, float(more), float(warned), str(warned + more) if warned + more else "")
        for day, warned, more in state.trend[-SHOWN_DAYS:]
    ]
    what = "Findings by day: those that ask for more than a look filled, warnings outlined"
    drawn = plots.columns(columns, what) if any(w + m for _, w, m in state.trend[-SHOWN_DAYS:]) else ""
    return f"<ul class=found>{rows}</ul>{drawn}{rest}"


def _like(alike: Sequence[Found]) -> str:
    first = alike[0]
    more = f"<small>and {len(alike) - 1} more of {escape(first.about)}</small>" if len(alike) > 1 else ""
    return (
        f"<li class={escape(first.level)}><b>{_mark(first.level)} {escape(first.level.replace('_', ' '))}</b> "
        f"<span>{escape(first.about)}: {escape(first.words)}</span>{_facts(first)}{more}</li>"
    )


def _facts(found: Found) -> str:
    """What it costs, since when it is so, and what to do."""
    told = [f"{shown(found.micros)} {escape(found.currency)} at stake"] if found.micros else []
    told += [f"since {escape(found.since)}"] if found.since and found.since != found.day else []
    told += [f"<a href='/runbooks#{escape(found.runbook, quote=True)}'>what to do</a>"] if found.runbook else []
    return f"<small>{' · '.join(told)}</small>" if told else ""


def _standings_lead(state: State) -> str:
    return "Champions follow the promotion journal." if any(each.bundle for each in state.standings) else UNTRAINED


def _standings(state: State, dashboards: Mapping[str, str]) -> str:
    rows = "".join(_standing(each, state.made_at, dashboards.get(each.model, "")) for each in state.standings)
    named = ("learned until", "came / foretold")
    head = f"<tr><th scope=col>model</th>{''.join(f'<th scope=col class=number>{each}</th>' for each in named)}</tr>"
    return f"<table class=told><thead>{head}</thead><tbody>{rows}</tbody></table>"


def _standing(each: Standing, now: datetime, dashboard: str) -> str:
    name = f"<a href='{escape(dashboard, quote=True)}'>{escape(each.model)}</a>" if dashboard else escape(each.model)
    if not each.bundle:
        return f"<tr><th scope=row>{name}</th><td colspan=2>no champion yet</td></tr>"
    days = (now - each.since).days if each.since else 0
    age = f"for {days} day{'s' * (days != 1)}" if days else "since today"
    ratio = "–"
    if each.observed_over_expected is not None:
        ratio = "{:.2f}<small>{:.2f} to {:.2f}</small>".format(*each.observed_over_expected)
    told = f"<small><code>{each.bundle[:8]}</code>, epoch {each.epoch}, {age}</small>"
    told += f"<small>challenger {escape(each.challenger)}</small>" if each.challenger else ""
    return (
        f"<tr><th scope=row>{name}{told}</th><td class=number>{escape(each.as_of) or '–'}</td><td class=number>{ratio}</td></tr>"
    )


def _credit_lead(state: State) -> str:
    if not state.channels:
        return "No conversion has credit yet."
    return f"By {algorithm(state.algorithm)}, {state.credit_days.replace('..', ' to ')}, policy {state.policy}; whiskers are 95 % over people, hatched rests on uncertain identity."


def _channels(state: State) -> str:
    rows = [
        plots.Bar(
            each.name,
            each.share,
            percent(each.share),
            fill="solid" if each.name != "no ad" else "none",
            doubtful=min(each.at_risk, each.share),
            low=each.low,
            high=each.high,
        )
        for each in state.channels
    ]
    return plots.bars(rows, "Share of all value by channel, with intervals") if rows else ""


def _matched(state: State) -> str:
    if not state.match_rate:
        return "<p>No day says it yet.</p>"
    columns = [plots.Column(day, rate, 0.0, percent(rate)) for day, rate in state.match_rate[-SHOWN_DAYS:]]
    return plots.columns(columns, "Match rate of conversions by day")


def _dag_lead(dags: Sequence[Dag] | None) -> str:
    if dags is None:
        return "Airflow does not answer: whence status says whether it runs."
    failed = [each.name for each in dags if each.state == "failed"]
    return (
        f"{', '.join(failed)} failed: open the run, mend it, clear it."
        if failed
        else f"{len(dags)} DAGs, none failed at its last run."
    )


def _answered(answers: Mapping[str, int]) -> str:
    if not answers["answers"]:
        return "The service was asked nothing since yesterday."
    told = [f"{answers[fate] or 'none'} {words}" for fate, words in (("failed", "failed"), ("turned_away", "turned away"))]
    return f"The service answered {answers['answers']:,} questions since yesterday: {', '.join(told)}."


def _dags(dags: Sequence[Dag] | None) -> str:
    rows = "".join(
        f"<li class={escape(each.state)}><a href='{escape(each.address, quote=True)}'>{_mark(each.state)} {escape(each.name)}</a>"
        f"<small>{escape('no run yet' if each.state == 'none' else each.state)} {escape(each.key)}</small></li>"
        for each in dags or ()
    )
    return f"<ul class=dags>{rows}</ul>"


def _conversions(state: State) -> str:
    rows = "".join(
        f"<li><a href='/explain/{escape(name, quote=True)}'>{escape(kind)} of {shown(micros)} {escape(currency)}</a> <small>{escape(name)}</small></li>"
        for name, kind, micros, currency in state.conversions
    )
    reports = "".join(
        f"<li><a href='/reports/{escape(name, quote=True)}/report.html'>{escape(name.replace('..', ' to '))}</a></li>"
        for name in state.reports[:3]
    )
    told = f"<h3>Attribution reports</h3><ul class=dags>{reports}</ul>" if reports else ""
    ask = (
        "<form action=/explain><label>a conversion’s id <input name=conversion required></label> <button>explain</button></form>"
    )
    return f"<ul class=dags>{rows}</ul>{ask}{told}"


def findings_page(found: Sequence[Found]) -> str:
    """Every finding that is not calm, as they are given."""
    names = ("day", "level", "about", "cause", "at stake", "since", "what was found")
    head = "".join(f"<th scope=col>{name}</th>" for name in names)
    rows = "".join(_told(each) for each in found)
    table = f"<div class=wide><table class='facts stacked'><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    body = table if rows else "<p>Nothing was found on any day.</p>"
    return page.document("Findings", f"<nav><a href='/'>whence</a></nav><section>{body}</section>", plots.STYLE + STYLE)


def _told(each: Found) -> str:
    cause = escape(each.cause.replace("_", " "))
    named = f"<a href='/runbooks#{escape(each.runbook, quote=True)}'>{cause or 'what to do'}</a>" if each.runbook else cause
    stake = f"{shown(each.micros)} {escape(each.currency)}" if each.micros else ""
    return (
        f"<tr><th scope=row>{escape(each.day)}</th><td class='level {escape(each.level)}'>{_mark(each.level)} {escape(each.level)}</td>"
        f"<td class=about>{escape(each.about)}</td><td>{named}</td><td class=number>{stake}</td><td class=number>{escape(each.since)}</td>"
        f"<td>{escape(each.words)}</td></tr>"
    )


def trouble(title: str, words: str) -> str:
    """A page that says what is wrong and what to do."""
    return page.document(title, f"<nav><a href='/'>whence</a></nav><section><p>{escape(words)}</p></section>", STYLE)


def _mark(state: str) -> str:
    return f"<span aria-hidden=true>{MARKS.get(state, '▲')}</span>"


STYLE = """
main{max-width:1280px}h1{margin:0 0 4px}nav{display:flex;flex-wrap:wrap;gap:6px 18px;margin:0 0 16px}
.state{display:flex;flex-wrap:wrap;gap:4px 16px;align-items:baseline;padding:14px 18px;border:1px solid var(--line);border-left:6px solid var(--unsure);border-radius:10px;background:var(--paper)}
.state b{font-size:18px;color:var(--ink)}.state.calm{border-left-color:var(--same)}.state.recalibrate,.state.retrain,.state.alarm,.state.rollback,.state.stop{border-left-color:var(--different)}
.grid{columns:3 360px;column-gap:16px}.grid section{margin:0 0 16px;break-inside:avoid}.found small{display:block;color:var(--soft)}.grid section>p{font-size:13.5px}
.found,.dags{list-style:none;margin:0 0 10px;padding:0}.found li,.dags li{padding:5px 0;border-bottom:1px solid var(--line);font-size:13.5px;overflow-wrap:anywhere}
.found li:last-child,.dags li:last-child{border-bottom:0}.dags li{display:flex;flex-wrap:wrap;justify-content:space-between;gap:2px 12px}.dags small{color:var(--soft)}
.failed>a,.failed>b,.recalibrate>b,td.recalibrate,.retrain>b,td.retrain,.rollback>b,td.rollback,.stop>b,td.stop,.alarm>b,td.alarm{color:var(--different)}.warn>b,td.warn{color:var(--unsure)}
.told{width:100%}.told tbody th{color:var(--ink);font-weight:500;white-space:nowrap}.told small{display:block;color:var(--soft);font-weight:400;font-size:12px}code{font-size:12px}.told th,.told td{overflow-wrap:normal}.told th small,.told thead th{white-space:normal}
h3{margin:14px 0 4px}form{margin:8px 0;font-size:13.5px}input,button{font:inherit;color:var(--ink);background:var(--back);border:1px solid var(--line);border-radius:6px;padding:3px 8px;max-width:100%}
.facts td{overflow-wrap:normal}.facts td.level,.facts td.about{white-space:nowrap}.facts td:last-child{min-width:300px}.told-in-full table{margin:0 0 14px}.told-in-full td,.told-in-full th{overflow-wrap:break-word}.told-in-full h2{margin:26px 0 6px;scroll-margin-top:12px}.told-in-full h2:target{background:var(--mark)}.told-in-full p,.told-in-full li{color:var(--ink)}.facts th,.facts td{font-size:13.5px}.facts th{white-space:nowrap}:focus-visible{outline:2px solid var(--bar);outline-offset:2px}
@media screen and (prefers-color-scheme:dark){.failed>a,.failed>b,.recalibrate>b,td.recalibrate,.retrain>b,td.retrain,.rollback>b,td.rollback,.stop>b,td.stop,.alarm>b,td.alarm{color:#e58b80}.warn>b,td.warn{color:#d9a651}}
@media(max-width:640px){main{padding:20px 12px 60px}section{padding:16px 14px}.stacked thead,.stacked td:empty{display:none}.stacked tr{display:block;padding:8px 0;border-bottom:1px solid var(--line)}.stacked td,.stacked th{display:block;padding:1px 0;border:0;text-align:left}}
""".strip().replace("\n", "")
