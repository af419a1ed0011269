"""docs/injection.md has everything that a user can meet. Leaves out whether it is well said."""

import pathlib

import prometheus_client

from injector import annotations, names
from injector.webhook import decide, metrics

PAGE = (pathlib.Path(__file__).parents[4] / "docs/injection.md").read_text()


def test_every_annotation_and_value_is_in_the_manual() -> None:
    """By its name after the prefix; choices by name."""
    words = [f"`{key.removeprefix(names.CONFIG_PREFIX)}`" for key in annotations.TABLE]
    choices = (annotations.InboundMode, annotations.OutboundMode, annotations.LogLevel, annotations.PullPolicy)
    words += [f"`{choice}`" for kind in choices for choice in kind]
    assert [] == [word for word in words if word not in PAGE]
    assert str(sorted(annotations.DEFAULT_OPAQUE_PORTS)).strip("[]") in PAGE


def test_every_reason_is_in_the_manual_and_has_its_sentence() -> None:
    """Also those of refusals."""
    assert set(decide.Reason) == set(decide.SENTENCES)
    assert [] == [reason for reason in (*decide.Reason, *decide.Refusal) if f"`{reason}`" not in PAGE]


def test_every_metric_is_in_the_manual() -> None:
    """As a query names it."""
    registry = prometheus_client.CollectorRegistry()
    metrics.Metrics(registry)
    families = [f"{each.name}_total" if each.type == "counter" else each.name for each in registry.collect()]
    assert 8 == len(families)
    assert [] == [name for name in families if f"`{name}`" not in PAGE]
