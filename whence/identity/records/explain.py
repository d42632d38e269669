"""Why two records are thought to be one person, as a waterfall, and why a person's records are together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from whence.identity.records.scorer import PairScorer
from whence.identity.records.table import MISSING, Evidence, Floats, Pairs, Records

if TYPE_CHECKING:
    from rich.console import RenderableType

FEWEST_NATS = 0.005
"""A step that adds less is gathered with the other small ones."""
GREEN, RED, GREY, INK = "#2f7d5b", "#b5483d", "#8b8f98", "#23262d"
BAR = 24
"""Characters that the longest bar takes in the terminal."""


@dataclass(frozen=True)
class Step:
    """What one field adds to the log-odds."""

    name: str
    log_odds: float
    signals: tuple[tuple[str, float], ...] = ()
    """The evidence behind it: each signal and its value, those without a value left out."""


@dataclass(frozen=True)
class Waterfall:
    """From the base over each field to the log-odds, and the probability."""

    base: float
    steps: tuple[Step, ...]
    """The weightiest first."""
    probability: float

    @property
    def log_odds(self) -> float:
        """Base and steps together."""
        return self.base + sum(each.log_odds for each in self.steps)


@dataclass(frozen=True)
class Forest:
    """For each person the likeliest links that hold its records together (a maximum spanning forest)."""

    links: npt.NDArray[np.int64]
    """Positions of the pairs that are in it, rising."""
    halves: npt.NDArray[np.int64]
    """For each link the number of records on one of its sides."""

    def below(self, places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """For each pair the records on one side if it were cut; 0 for one that holds nothing together."""
        if not len(self.links):
            return np.zeros(len(places), dtype=np.int64)
        at = np.minimum(np.searchsorted(self.links, places), len(self.links) - 1)
        return np.where(self.links[at] == places, self.halves[at], 0)


@dataclass(frozen=True)
class Link:
    """Two records of a person and how likely they are one."""

    left: str
    right: str
    probability: float


@dataclass(frozen=True)
class Why:
    """Why records are one person."""

    records: tuple[str, ...]
    links: tuple[Link, ...]
    """The likeliest links that hold all of them together, the strongest first; one fewer than records, if all are linked."""
    sides: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    """The records on both sides of the weakest link."""

    @property
    def weakest(self) -> Link | None:
        """The link that would part them first; none for one record."""
        return self.links[-1] if self.links else None


def waterfall(scorer: PairScorer, evidence: Evidence, place: int, probability: float | None = None) -> Waterfall:
    """The evidence of the pair at this position, summed by field (the part of a signal's name before the colon).

    `probability` is what calibration made of the log-odds, where it is not part of the scorer: then it is a step, too.
    """
    return waterfalls(scorer, evidence, [place], None if probability is None else [probability])[0]


def waterfalls(
    scorer: PairScorer, evidence: Evidence, places: Sequence[int], probabilities: Sequence[float] | None = None
) -> list[Waterfall]:
    """The evidence of some pairs, in one go."""
    some = Evidence(evidence.names, evidence.values[np.asarray(places, dtype=np.int64)])
    parts = scorer.contributions(some)
    return [
        _summed(evidence.names, values, part, None if probabilities is None else probabilities[at])
        for at, (values, part) in enumerate(zip(some.values, parts, strict=True))
    ]


def forest(pairs: Pairs, strengths: Floats, is_link: npt.NDArray[np.bool_]) -> Forest:
    """The strongest links that hold together what all links do; of equal ones the first.

    >>> triangle = Pairs(np.array([0, 0, 1], dtype=np.int32), np.array([1, 2, 2], dtype=np.int32))
    >>> forest(triangle, np.array([0.9, 0.6, 0.8]), np.ones(3, dtype=bool)).links.tolist()
    [0, 2]
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import minimum_spanning_tree

    rows = np.flatnonzero(is_link)
    order = rows[np.lexsort((rows, -strengths[rows]))]
    nodes, ends = np.unique(np.concatenate([pairs.left[order], pairs.right[order]]), return_inverse=True)
    left, right = ends.reshape(2, -1)
    shape = (len(nodes), len(nodes))
    ranks = np.arange(1, len(order) + 1, dtype=np.float64)  # all different, so that there is one answer
    tree = minimum_spanning_tree(coo_matrix((ranks, (left, right)), shape=shape).tocsr()).tocoo()
    at = np.sort(tree.data.astype(np.int64) - 1)
    below = _below(len(nodes), left[at], right[at])
    by_place = np.argsort(order[at], kind="stable")
    return Forest(order[at][by_place], below[by_place])


def why(ids: Sequence[str], pairs: Pairs, probabilities: Floats, people: npt.NDArray[np.integer], person: int) -> Why:
    """Why the records of a person are together: its strongest links, down to the weakest."""
    members = np.flatnonzero(people == person)
    place = np.full(len(people), -1, dtype=np.int32)
    place[members] = np.arange(len(members), dtype=np.int32)
    rows = np.flatnonzero((people[pairs.left] == person) & (people[pairs.right] == person))
    inner = Pairs(place[pairs.left[rows]], place[pairs.right[rows]])
    tree = forest(inner, probabilities[rows], np.ones(len(rows), dtype=bool))
    strongest = tree.links[np.lexsort((tree.links, -probabilities[rows][tree.links]))]
    names = [ids[member] for member in members.tolist()]
    links = tuple(Link(names[inner.left[at]], names[inner.right[at]], float(probabilities[rows][at])) for at in strongest)
    return Why(tuple(names), links, _sides(names, links))


def values(records: Records, place: int) -> dict[str, str | None]:
    """What a record says, field by field, as it was compared."""
    return {each.field.name: None if each.codes[place] == MISSING else each.values[each.codes[place]] for each in records.columns}


def text(fall: Waterfall, left: Mapping[str, str | None], right: Mapping[str, str | None]) -> RenderableType:
    """The waterfall for the terminal: a line for each field with both values, what it adds, and a bar."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, side in (("field", "left"), ("left", "left"), ("right", "left"), ("log-odds", "right"), ("", "left")):
        table.add_column(name, justify="right" if side == "right" else "left", overflow="fold")
    longest = max((abs(each.log_odds) for each in fall.steps), default=1.0) or 1.0
    table.add_row("base", "", "", f"{fall.base:+.2f}", Text("before looking", style="dim"))
    for each in fall.steps:
        length = max(1, round(BAR * abs(each.log_odds) / longest))
        bar = Text("█" * length, style="green" if each.log_odds > 0 else "red")
        table.add_row(each.name, *map(_shown, marked(left.get(each.name), right.get(each.name))), f"{each.log_odds:+.2f}", bar)
    table.add_row(
        Text("together", style="bold"), "", "", f"{fall.log_odds:+.2f}", Text(f"probability {_percent(fall.probability)}")
    )
    return table


def marked(left: str | None, right: str | None) -> tuple[list[tuple[str, bool]], list[tuple[str, bool]]]:
    """Both values in pieces, each with whether it differs from the other value.

    >>> marked("jon", "john")
    ([('jo', False), ('n', False)], [('jo', False), ('h', True), ('n', False)])
    >>> marked(None, "x")
    ([], [('x', False)])
    """
    from rapidfuzz.distance import Indel

    if left is None or right is None:
        return ([(left, False)] if left else []), ([(right, False)] if right else [])
    ours: list[tuple[str, bool]] = []
    theirs: list[tuple[str, bool]] = []
    for each in Indel.opcodes(left, right):
        differs = each.tag != "equal"
        if each.src_end > each.src_start:
            ours.append((left[each.src_start : each.src_end], differs))
        if each.dest_end > each.dest_start:
            theirs.append((right[each.dest_start : each.dest_end], differs))
    return ours, theirs


def picture(fall: Waterfall, title: str = "", *, width: float = 6.4) -> str:
    """The waterfall as a picture: an SVG text that is the same for the same numbers, and asks for nothing from outside."""
    import io
    import re
    import warnings

    import matplotlib
    from matplotlib.figure import Figure

    names = ["base", *(each.name for each in fall.steps), "together"]
    ends = np.cumsum([fall.base, *(each.log_odds for each in fall.steps)])
    letters = "path" if _are_drawn("".join([*names, title])) else "none"
    look = {"svg.hashsalt": "whence", "svg.fonttype": letters, "font.size": 9, "font.family": FONT}
    with matplotlib.rc_context(look), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # whoever looks has a font for these
        figure = Figure(figsize=(width, 0.9 + 0.27 * len(names)), layout="constrained")
        axes = figure.add_subplot()
        _draw(axes, names, fall, ends)
        if title:
            axes.set_title(title, loc="left", fontsize=9.5, color=INK)
        written = io.StringIO()
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    body = written.getvalue()
    return re.sub(r"^.*?(?=<svg)", "", body, count=1, flags=re.DOTALL)


FONT = "DejaVu Sans"


def _are_drawn(text: str) -> bool:
    """Whether the font that is at hand has all signs of a text; the others are left to the reader's own fonts."""
    from matplotlib.font_manager import findfont, get_font

    known = get_font(findfont(FONT)).get_charmap()
    return all(ord(sign) in known for sign in text)


def _below(n: int, left: npt.NDArray[np.int64], right: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """For each link of a forest the records beyond it, seen from the first record of its tree."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import breadth_first_order, connected_components

    tree = coo_matrix((np.ones(len(left)), (left, right)), shape=(n, n))
    roots = np.unique(connected_components(tree, directed=False)[1], return_index=True)[1]
    ends = (np.r_[left, np.full(len(roots), n)], np.r_[right, roots])
    rooted = coo_matrix((np.ones(len(ends[0])), ends), shape=(n + 1, n + 1)).tocsr()
    visited, parent = breadth_first_order(rooted, n, directed=False)
    size = np.ones(n + 1, dtype=np.int64)
    for node in visited[:0:-1]:
        size[parent[node]] += size[node]
    return np.asarray(size[np.where(parent[left] == right, left, right)])


def _draw(axes: Any, names: Sequence[str], fall: Waterfall, ends: Floats) -> None:
    starts = np.r_[0.0, ends[:-1]]
    for row, (start, end) in enumerate(zip(starts, ends, strict=True)):
        colour = GREY if row == 0 else GREEN if end > start else RED
        axes.barh(row, end - start, left=start, color=colour, height=0.62)
        side = 1 if end >= start else -1
        axes.annotate(
            f"{end - start:+.1f}", (end, row), (3 * side, 0), textcoords="offset points", va="center",
            ha="left" if side > 0 else "right", fontsize=7.5, color=INK,
        )  # fmt: skip
        axes.plot([end, end], [row, row + 1], color=GREY, linewidth=0.6, zorder=0)
    axes.barh(len(ends), fall.log_odds, color=INK, height=0.62)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.use_sticky_edges = False
    axes.margins(x=0.16)
    axes.set_xlabel(
        f"log-odds that both are one; together {fall.log_odds:+.1f}, probability {_percent(fall.probability)}", color=INK
    )
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=0, colors=INK)


def _summed(names: Sequence[str], values: npt.NDArray[np.float32], part: Floats, probability: float | None) -> Waterfall:
    by: dict[str, list[int]] = {}
    for at, name in enumerate(names):
        by.setdefault(name.rsplit(":", 1)[0], []).append(at)
    steps = [
        Step(field, float(part[places].sum()), tuple((names[at], float(values[at])) for at in places if not np.isnan(values[at])))
        for field, places in by.items()
    ]
    total = float(part.sum())
    known = float(expit(total)) if probability is None else probability
    bent = float(logit(np.clip(known, 1e-9, 1 - 1e-9))) - total
    if abs(bent) >= 0.05 and abs(total) < 20:
        steps.append(Step("calibration", bent))
    large = sorted(
        (each for each in steps if abs(each.log_odds) >= FEWEST_NATS), key=lambda each: (-abs(each.log_odds), each.name)
    )
    rest = sum(each.log_odds for each in steps if abs(each.log_odds) < FEWEST_NATS)
    if abs(rest) >= FEWEST_NATS:
        large.append(Step("all others", rest))
        rest = 0.0
    return Waterfall(float(part[-1]) + rest, tuple(large), known)


def _sides(names: Sequence[str], links: Sequence[Link]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if not links:
        return tuple(names), ()
    near, grown = {links[-1].left}, True
    while grown:
        grown = False
        for each in links[:-1]:
            if (each.left in near) != (each.right in near):
                near |= {each.left, each.right}
                grown = True
    return tuple(name for name in names if name in near), tuple(name for name in names if name not in near)


def _shown(pieces: Sequence[tuple[str, bool]]) -> Any:
    from rich.text import Text

    if not pieces:
        return Text("–", style="dim")
    return Text.assemble(*((piece, "bold yellow" if differs else "") for piece, differs in pieces))


def _percent(probability: float) -> str:
    if 0.0005 <= probability <= 0.9995:
        return f"{probability:.1%}"
    return "under 0.1%" if probability < 0.5 else "over 99.9%"
