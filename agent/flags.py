"""What the flags of ``ipseity observe``, ``who-owned`` and ``mismatches`` mean.

Here because a wrong value must be refused in words that quote it, and because which of table, rows or records an answer
is depends on several flags at once. Leaves out the list of flags (``cli``).
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import click

from agent import apiaddress, config, errors, graph, mismatches, model, observe, selection, verdicts, walltime

T = TypeVar("T")
NO_AGGREGATION: Final = "none"
API_VARIABLE: Final = "IPSEITY_API"


def servers(given: Sequence[str], environ: Mapping[str, str]) -> tuple[apiaddress.ApiAddress, ...]:
    """Give the agents to ask: those given, or the one that an agent here would serve at. Each once."""
    texts = given or (environ.get(API_VARIABLE) or _default_api(),)
    try:
        return tuple(dict.fromkeys(apiaddress.parse(text) for text in texts))
    except errors.Unavailable as error:
        raise click.UsageError(f"--server: {error}; {error.hint}") from error


def _default_api() -> str:
    (field,) = (each for each in dataclasses.fields(config.Config) if each.name == "api")
    return str(field.default)


def question(
    given: Mapping[str, Any], *, now_wall_ns: int, terminal: bool, environ: Mapping[str, str]
) -> observe.Question:
    """Turn the flags of ``observe`` into a question. Raises click.UsageError."""
    output = observe.Output(given["output"])
    if given["follow"] and output is observe.Output.JSON:
        raise click.UsageError("-o json is one document and never ends with -f; use -o jsonl")
    return observe.Question(
        servers=servers(given["server"], environ),
        wanted=wanted(given),
        since_wall_ns=since(given["since"], now_wall_ns),
        last=given["last"],
        follow=given["follow"],
        output=output,
        by=_by(given["aggregate_by"], output, one_by_one=given["follow"] and not terminal),
    )


def _by(given: str | None, output: observe.Output, *, one_by_one: bool) -> graph.By | None:
    """Choose what is one row: records where every line stands for itself, else workloads, unless it was said."""
    if given is None:
        return None if one_by_one or output is observe.Output.JSONL else graph.By.WORKLOAD
    return None if given == NO_AGGREGATION else graph.By(given)


def misnamed(given: Mapping[str, Any], environ: Mapping[str, str]) -> mismatches.Question:
    """Turn the flags of ``mismatches`` into a question. Raises click.UsageError."""
    return mismatches.Question(
        servers=servers(given["server"], environ),
        method=given["method"],
        reasons=tuple(verdicts.Mismatch(each) for each in given["reason"]),
        namespaces=given["namespace"],
    )


def since(given: str | None, now_wall_ns: int) -> int | None:
    """Read ``--since``. Raises click.UsageError."""
    if given is None:
        return None
    try:
        return walltime.parse_near(given, now_wall_ns)
    except ValueError as error:
        raise click.UsageError(f"--since: {error}") from error


def wanted(given: Mapping[str, Any]) -> selection.Selection:
    """Turn the filters into a selection. Raises click.UsageError."""
    return selection.Selection(
        either=_end(given, ""),
        source=_end(given, "from_"),
        destination=_end(given, "to_"),
        ports=given["port"],
        protocols=given["protocol"],
        evidence=tuple(model.Evidence(each) for each in given["evidence"]),
        mismatch=given["mismatch"],
        reasons=tuple(verdicts.Mismatch(each) for each in given["reason"]),
        directions=given["traffic_direction"],
        types=given["type"],
        nodes=given["node_name"],
    )


def _end(given: Mapping[str, Any], side: str) -> selection.EndFilter:
    return selection.EndFilter(
        pods=given[f"{side}pod"],
        namespaces=given[f"{side}namespace"],
        labels=_each(f"{side}label", given, selection.label_selector),
        addresses=_each(f"{side}ip", given, selection.prefix),
    )


def _each(name: str, given: Mapping[str, Any], read: Callable[[str], T]) -> tuple[T, ...]:
    try:
        return tuple(read(text) for text in given[name])
    except ValueError as error:
        raise click.UsageError(f"--{name.replace('_', '-')}: {error}") from error
