"""Where things stand in the pictures: numbers out of results, for the page's templates to draw.

Here because geometry is easier to read and to test than markup. Pure. Leaves out colours and words' looks (``page/``).
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from comparisons import results

WIDTH: Final = 960
LEFT: Final = 190
RIGHT: Final = 14
BEFORE_MS: Final = 600.0
"""Of what was before the window could begin. Arbitrary: enough to see who was there."""
STRIP: Final = 15
PACKETS: Final = 26
GAP: Final = 13
AXIS: Final = 26
_STEPS: Final = (1, 2, 5)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A stretch of a strip."""

    x: float
    width: float
    text: str
    """Empty where it would not fit."""
    title: str
    kind: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """One attempt."""

    x: float
    kind: str
    """``right``: entitled and passed. ``wrong``: passed and was not entitled. ``denied``: the opposite. ``refused``."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """One line of a band."""

    label: str
    y: float
    bars: Sequence[Bar]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """One contender."""

    title: str
    y: float
    strips: Sequence[Strip]
    packets_y: float
    ticks: Sequence[Tick]
    wrong: int
    verdict: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A mark of an axis."""

    x: float
    text: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A scenario's time line."""

    height: float
    zero_x: float
    bands: Sequence[Band]
    axis: Sequence[Label]
    marks: Sequence[Label]
    told: str
    """The same in words, for whoever does not see it."""


LANES: Final = (("link", "news"), ("owner", "really"), ("belief", "taken for"))


def timeline(scenario: results.Scenario, titles: Mapping[str, str]) -> Picture | None:
    """Lay out a scenario's pictures, one band a contender, all with the same scale; None if nothing was played."""
    shown = [(entry, entry.picture) for entry in scenario.entries if entry.picture is not None]
    if not shown:
        return None
    ends = [packet.at_ms for _, it in shown for packet in it.packets] or [1.0]
    low, high = max(-BEFORE_MS, min(0.0, *ends)), max(*ends, 1.0)
    scale = (WIDTH - LEFT - RIGHT) / (high - low)

    def x(at_ms: float) -> float:
        return round(LEFT + (min(max(at_ms, low), high) - low) * scale, 1)

    bands, y, told = [], 24.0, []
    for entry, it in shown:
        strips, top = [], y
        for lane, label in LANES:
            bars = [
                _bar(span, x) for span in it.spans if span.lane == lane and span.to_ms > low and span.from_ms < high
            ]
            if bars:
                strips.append(Strip(label=label, y=y, bars=bars))
                y += STRIP + 2
        packets = [packet for packet in it.packets if packet.at_ms >= low]
        ticks = [Tick(x=x(packet.at_ms), kind=_kind(packet)) for packet in packets]
        wrong = sum(tick.kind == "wrong" for tick in ticks)
        title = titles.get(entry.contender, entry.contender)
        verdict = f"{wrong} passed that should not have" if wrong else "none passed that should not have"
        bands.append(Band(title=title, y=top, strips=strips, packets_y=y, ticks=ticks, wrong=wrong, verdict=verdict))
        told.append(f"{title}: {len(ticks)} attempts drawn, {verdict}.")
        y += PACKETS + GAP
    marks = [Label(x=x(mark.at_ms), text=mark.text) for mark in shown[0][1].marks if low <= mark.at_ms <= high]
    return Picture(
        height=y + AXIS,
        zero_x=x(0.0),
        bands=bands,
        axis=[Label(x=x(at), text=_time(at)) for at in _round(low, high)],
        marks=marks[-1:],
        told=" ".join(told),
    )


def _bar(span: results.Span, x: Callable[[float], float]) -> Bar:
    left, right = x(span.from_ms), x(span.to_ms)
    width = max(1.0, round(right - left, 1))
    kind = span.lane if span.lane == "link" else ("stranger" if span.text.startswith("intruder") else "owner")
    return Bar(
        x=left,
        width=width,
        text=span.text if width > 6.2 * len(span.text) + 6 else "",
        title=f"{span.text}, {_time(span.from_ms)} to {_time(span.to_ms)}",
        kind=kind,
    )


def _kind(packet: results.Packet) -> str:
    if packet.passed:
        return "right" if packet.entitled else "wrong"
    return "denied" if packet.entitled else "refused"


def _round(low: float, high: float) -> list[float]:
    """Choose about six round numbers."""
    rough = (high - low) / 6
    power = 10 ** math.floor(math.log10(rough))
    step = next((power * it for it in _STEPS if power * it >= rough), power * 10)
    return [step * at for at in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _time(ms: float) -> str:
    return f"{ms / 1000:g} s" if abs(ms) >= 1000 and ms % 100 == 0 else f"{ms:.0f} ms"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One bar of a chart."""

    title: str
    y: float
    pieces: Sequence[Bar]
    text: str
    text_x: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Horizontal bars."""

    title: str
    height: float
    columns: Sequence[Column]
    told: str


ROW: Final = 24


def chart(title: str, rows: Sequence[tuple[str, Sequence[tuple[str, float]]]], unit: str) -> Chart:
    """Lay out bars, each of pieces that add up."""
    most = max((sum(value for _, value in pieces) for _, pieces in rows), default=0.0) or 1.0
    scale = (WIDTH - LEFT - 110) / most
    columns = []
    for number, (name, pieces) in enumerate(rows):
        x, bars = float(LEFT), []
        for kind, value in pieces:
            width = round(value * scale, 1)
            bars.append(
                Bar(x=round(x, 1), width=max(width, 0.5), text="", title=f"{kind}: {value:.2f} {unit}", kind=kind)
            )
            x += width
        total = sum(value for _, value in pieces)
        columns.append(
            Column(title=name, y=8.0 + ROW * number, pieces=bars, text=f"{total:.3g} {unit}", text_x=round(x + 6, 1))
        )
    told = "; ".join(f"{column.title} {column.text}" for column in columns)
    return Chart(title=title, height=16.0 + ROW * len(rows), columns=columns, told=told)
