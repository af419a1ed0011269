"""Panels and dashboards as this project has them, on Grafana's own types.

Here because five dashboards that are written by hand drift apart: units, colours, variables and layout are said once. A
field that Grafana does not know is an AttributeError here, not an empty panel there. Leaves out what is asked
(``flows``, ``attribution``, ``mesh``, ``certificates``, ``agent``).
"""

import dataclasses
from collections.abc import Sequence
from typing import Final

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import prometheus as prometheus_models

SOURCE: Final = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
RATE: Final = "[$__rate_interval]"
_WIDTH: Final = 24
"""Grafana's columns."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One query of a panel."""

    expr: str
    legend: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """What a panel asks, and how it is shown."""

    title: str
    queries: tuple[Query, ...]
    unit: str
    doc: str = ""
    kind: str = "curve"
    """``curve``, ``stack``, ``number`` or ``table``."""
    width: int = 12
    height: int = 8
    low: float | None = 0
    decimals: int | None = None
    none: str = ""
    """What is shown where there is nothing."""
    levels: tuple[tuple[str, float], ...] = ()
    """Colours, each from a value on; below the first it is green."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A choice at the top of a dashboard."""

    name: str
    label: str
    metric: str
    """``label_values(metric, of)``."""
    of: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """A dashboard."""

    uid: str
    title: str
    doc: str
    variables: tuple[Variable, ...]
    rows: tuple[tuple[str, tuple[Panel, ...]], ...]
    """Title and panels; a title may be empty."""
    hours: int = 6


def ask(expr: str, legend: str = "") -> Query:
    """Write a query; line breaks in it are for the reader of this folder."""
    return Query(expr=" ".join(expr.split()), legend=legend)


def build(board: Board) -> models.Dashboard:
    """Give the dashboard that Grafana imports."""
    made = (
        dashboard.Dashboard(f"Ipseity: {board.title}")
        .uid(board.uid)
        .description(board.doc)
        .tags(["ipseity"])
        .version(1)
        .refresh("1m")
        .time(f"now-{board.hours}h", "now")
        .timezone("")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .link(dashboard.DashboardLink("Ipseity").tags(["ipseity"]).as_dropdown(True).keep_time(True)  # noqa: FBT003  # a builder
              .type(models.DashboardLinkType.DASHBOARDS))
    )  # fmt: skip
    for variable in board.variables:
        made.with_variable(_choice(variable))
    number, top = 1, 0
    for title, panels in board.rows:
        if title:
            made.with_row(dashboard.Row(title).id(number).grid_pos(models.GridPos(h=1, w=_WIDTH, x=0, y=top)))
            number, top = number + 1, top + 1
        left, tallest = 0, 0
        for panel in panels:
            if left + panel.width > _WIDTH:
                left, top, tallest = 0, top + tallest, 0
            made.with_panel(_panel(panel, number, models.GridPos(h=panel.height, w=panel.width, x=left, y=top)))
            left, tallest, number = left + panel.width, max(tallest, panel.height), number + 1
        top += tallest
    return made.build()


def _choice(variable: Variable) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(variable.name)
        .label(variable.label)
        .datasource(SOURCE)
        .query({"query": f"label_values({variable.metric}, {variable.of})", "refId": variable.name})
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)  # noqa: FBT003  # a builder
        .include_all(True)  # noqa: FBT003  # a builder
        .all_value(".*")
        .current(models.VariableOption(text="All", value="$__all"))
    )


def _panel(panel: Panel, number: int, place: models.GridPos) -> stat.Panel | table.Panel | timeseries.Panel:
    made: stat.Panel | table.Panel | timeseries.Panel
    match panel.kind:
        case "number":
            made = stat.Panel().color_mode(common.BigValueColorMode.VALUE)
            made.reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
            made.text_mode(
                common.BigValueTextMode.VALUE_AND_NAME if len(panel.queries) > 1 else common.BigValueTextMode.AUTO
            )
        case "table":
            made = table.Panel()
        case _:
            made = _curve(stacked=panel.kind == "stack")
    made.id(number).title(panel.title).description(panel.doc).datasource(SOURCE).grid_pos(place).unit(panel.unit)
    if panel.low is not None:
        made.min(panel.low)
    if panel.decimals is not None:
        made.decimals(panel.decimals)
    if panel.none:
        made.no_value(panel.none)
    if panel.levels:
        made.thresholds(_levels(panel.levels))
    for letter, query in zip("ABCDEFGH", panel.queries, strict=False):
        made.with_target(_target(query, letter, instant=panel.kind == "table"))
    return made


def _curve(*, stacked: bool) -> timeseries.Panel:
    made = timeseries.Panel().line_width(1).fill_opacity(60 if stacked else 10)
    made.legend(
        common_builders.VizLegendOptions()
        .display_mode(common.LegendDisplayMode.TABLE)
        .placement(common.LegendPlacement.BOTTOM)
        .show_legend(True)  # noqa: FBT003  # a builder
        .calcs(["lastNotNull", "max"])
    )
    made.tooltip(
        common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)
    )
    if stacked:
        made.stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL))
    return made


def _levels(levels: Sequence[tuple[str, float]]) -> dashboard.ThresholdsConfig:
    steps = [models.Threshold(color="green", value=None)]
    steps += [models.Threshold(color=color, value=value) for color, value in levels]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)


def _target(query: Query, letter: str, *, instant: bool) -> prometheus.Dataquery:
    made = prometheus.Dataquery().expr(query.expr).ref_id(letter).legend_format(query.legend).datasource(SOURCE)
    if instant:
        return made.instant().format(prometheus_models.PromQueryFormat.TABLE)
    return made.range()
