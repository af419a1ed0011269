"""Totals of every flow that the agent has seen, by workload, for Prometheus.

Here because totals must outlive what they were counted from: an edge leaves the kernel's table when it is idle, an
agent restarts (``dump``/``load``), and a counter that Prometheus saw must still not go back. Bounded: a label set that
does not fit is counted under ``other``, so that sums stay right when names no longer fit.

Leaves out names and help (``catalogue``), the adding up (``series``), the agent's own state (``health``) and the text
on the wire (``exposition``).
"""

import collections
from collections.abc import Container, Iterator, Sequence
from typing import Final

import msgspec
from prometheus_client import metrics_core

from agent import catalogue, model, series, verdicts

Workload = tuple[str, str, str]
"""(namespace, kind, name), and (namespace, "Pod", name) for a pod itself: what must be gone before a series may go."""

OTHER: Final = "other"
"""In place of every label of an end that did not fit under the cap."""
_END_LABELS: Final = ("namespace", "workload", "kind", "service_account", "evidence")
_NOT_WORKLOADS: Final = frozenset({*(kind.value for kind in model.Kind if kind is not model.Kind.POD), OTHER})
_NS_PER_S: Final = 1_000_000_000
_US_PER_S: Final = 1_000_000
_EGRESS: Final = model.Direction.EGRESS

_Key = tuple[str | int, ...]
_End = tuple[str, str, str, str, verdicts.Verdicts]
"""End, kind, evidence, reason, and what became of the other answers."""


class _Dump(msgspec.Struct, frozen=True):
    """The metrics' part of the checkpoint."""

    labels: tuple[str, ...]
    bounds_us: tuple[int, ...]
    overflowed: int
    series: list[series.Saved]
    ends: list[tuple[_End, int]] = []


class FlowMetrics:
    """Cumulative totals by label set; a ``prometheus_client`` collector. Takes edges, never connection records.

    ``bounds_us`` are the upper bounds of the kernel's buckets in microseconds, without the last one, which is infinite.
    ``max_series`` caps label sets, not lines: one label set is 7 to 48 lines of a scrape.
    """

    def __init__(self, *, max_series: int, grace_s: float, pod_labels: bool, bounds_us: Sequence[int]) -> None:
        self.overflowed = 0
        """Edges counted under ``other`` because the cap was reached."""
        self.unreadable = 0
        """Saved series that could not be taken over."""
        end = (*_END_LABELS, "pod") if pod_labels else _END_LABELS
        self.labels: Final = (
            *(f"{side}_{label}" for side in ("source", "destination") for label in end),
            "port",
            "protocol",
            "direction",
        )
        self.bounds: Final = (*(repr(bound / _US_PER_S) for bound in bounds_us), "+Inf")
        """Upper bounds of the histograms' buckets in seconds, as a scrape spells them."""
        self.bounds_us: Final = tuple(bounds_us)
        self._max_series = max_series
        self._grace_ns = int(grace_s * _NS_PER_S)
        self._pod_labels = pod_labels
        self._series: dict[_Key, series.Series] = {}
        self._others: dict[tuple[str, ...], series.Series] = {}
        self._ends: dict[_End, int] = {}

    def __len__(self) -> int:
        """Label sets held, without ``other``."""
        return len(self._series)

    def add(self, flow: model.Flow, now_boot_ns: int) -> None:
        """Count one edge's differences."""
        local, remote, ends = flow.local, flow.remote, self._ends
        judged = local.views.judged if local.views is not None else verdicts.UNCHECKED
        end = ("local", local.kind, local.evidence, local.reason, judged)
        ends[end] = ends.get(end, 0) + 1
        judged = remote.views.judged if remote.views is not None else verdicts.UNCHECKED
        end = ("remote", remote.kind, remote.evidence, remote.reason, judged)
        ends[end] = ends.get(end, 0) + 1
        key = self._key(flow)
        found = self._series.get(key) or self._admit(key)
        found.last_boot_ns = now_boot_ns
        found.add(flow.direction, flow.counters)

    def _key(self, flow: model.Flow) -> _Key:
        """Give what tells label sets apart. Hot: built for every edge of every drain, its text only once per series."""
        source, destination = flow.local, flow.remote
        if flow.direction is not _EGRESS:
            source, destination = destination, source
        key = (
            source.namespace,
            source.workload or source.name,
            source.workload_kind or source.kind,
            source.service_account,
            source.evidence,
            destination.namespace,
            destination.workload or destination.name,
            destination.workload_kind or destination.kind,
            destination.service_account,
            destination.evidence,
            flow.port,
            flow.protocol,
            flow.direction,
        )
        if self._pod_labels:
            return (*key[:5], _pod(source), *key[5:10], _pod(destination), *key[10:])
        return key

    def _admit(self, key: _Key) -> series.Series:
        """Open a series for a label set not seen before, or give the bucket ``other``."""
        labels = _labels_of(key)
        if len(self._series) >= self._max_series:
            self.overflowed += 1
            return self._other(labels[-2:])
        opened = self._series[key] = self._new(labels)
        return opened

    def _other(self, tail: tuple[str, ...]) -> series.Series:
        """Give the bucket of a (protocol, direction): these two stay, so that sums by direction stay right."""
        if tail not in self._others:
            self._others[tail] = self._new((*(OTHER,) * (len(self.labels) - 2), *tail))
        return self._others[tail]

    def _new(self, labels: tuple[str, ...]) -> series.Series:
        return series.Series(labels, self._workloads(labels), len(self.bounds))

    def _workloads(self, labels: tuple[str, ...]) -> tuple[Workload, ...]:
        """Name the workloads that a label set speaks of; what is not a workload (host, prefix, ...) is never gone."""
        width = (len(self.labels) - 3) // 2
        ends = [end for end in (labels[:width], labels[width : 2 * width]) if end[2] not in _NOT_WORKLOADS]
        if self._pod_labels:
            return tuple((end[0], "Pod", end[5]) for end in ends)
        return tuple((end[0], end[2], end[1]) for end in ends)

    def expire(self, now_boot_ns: int, live: Container[Workload]) -> int:
        """Forget series that were idle for the grace and of which an end is not among ``live``; say how many."""
        horizon = now_boot_ns - self._grace_ns
        gone = [
            key
            for key, held in self._series.items()
            if held.last_boot_ns <= horizon and not all(workload in live for workload in held.workloads)
        ]
        for key in gone:
            del self._series[key]
        return len(gone)

    def ends(self) -> list[tuple[tuple[str, str, str, str], int]]:
        """Give how many ends had which (end, kind, evidence, reason)."""
        found: collections.Counter[tuple[str, str, str, str]] = collections.Counter()
        for (end, kind, evidence, reason, _), count in self._ends.items():
            found[end, kind, evidence, reason] += count
        return sorted(found.items())

    def checked(self) -> list[tuple[tuple[str, str], int]]:
        """Give how many ends were checked, by (end, method)."""
        found: collections.Counter[tuple[str, str]] = collections.Counter()
        for end, method, _, count in self._verdicts():
            found[end, method] += count
        return sorted(found.items())

    def mismatches(self) -> list[tuple[tuple[str, str, str], int]]:
        """Give how many ends a method was wrong about, by (end, reason, method).

        Zeros too, for what was checked: what appears with its first count is no increase to Prometheus.
        """
        found: dict[tuple[str, str, str], int] = {}
        for end, method, verdict, count in self._verdicts():
            for reason in verdicts.REASONS[method]:
                found.setdefault((end, reason, method), 0)
            if verdict.match is verdicts.Match.DIFFERENT:
                found[end, verdict.reason, method] += count
        return sorted(found.items())

    def _verdicts(self) -> Iterator[tuple[str, str, verdicts.Verdict, int]]:
        """Give every verdict on something that was checked, as (end, method, verdict, count)."""
        for (end, *_, judged), count in self._ends.items():
            for method, verdict in zip(judged._fields, judged, strict=True):
                if verdict.match is not verdicts.Match.UNCHECKED:
                    yield end, method, verdict, count

    def held(self) -> list[series.Series]:
        """Give what is held now; a list, because flows come in while a slow scrape goes on."""
        return [*self._series.values(), *self._others.values()]

    def collect(self) -> Iterator[metrics_core.Metric]:
        """Give the families to ``prometheus_client``; ``exposition`` writes the same text in a fraction of the time."""
        for metric in catalogue.FLOW_TABLE:
            family = metrics_core.Metric(metric.name, metric.help, metric.kind, metric.unit)
            for held in self.held():
                labels = dict(zip(self.labels, held.labels, strict=True))
                for suffix, extra, value in held.samples(metric, self.bounds):
                    family.add_sample(metric.name + suffix, labels | dict([extra] if extra else []), value)
            yield family

    def dump(self) -> object:
        """Give every total as plain values, for the checkpoint."""
        saved = [held.save() for held in self.held()]
        ends = list(self._ends.items())
        return msgspec.to_builtins(_Dump(self.labels, self.bounds_us, self.overflowed, saved, ends))

    def load(self, dumped: object) -> None:
        """Take over the totals of the agent before this one; what does not fit this one is counted and dropped.

        Of the same boot only: the caller knows of which boot the checkpoint is.
        """
        try:
            before = msgspec.convert(dumped, _Dump)
        except msgspec.ValidationError:
            self.unreadable += 1
            return
        self.overflowed += before.overflowed
        for end, count in before.ends:
            self._ends[end] = self._ends.get(end, 0) + count
        same = (before.labels, before.bounds_us) == (self.labels, self.bounds_us)
        for saved in before.series:
            if not (same and self._resume(saved)):
                self.unreadable += 1

    def _resume(self, saved: series.Saved) -> bool:
        """Take over one series, if its labels and numbers have the right shape."""
        if len(saved.labels) != len(self.labels):
            return False
        held = self._new(saved.labels)
        try:
            held.resume(saved)
            if saved.labels[-3] == OTHER:
                self._others[saved.labels[-2:]] = held
            else:
                self._series[_key_of(saved.labels)] = held
        except (KeyError, ValueError):
            return False
        return True


def _pod(end: model.End) -> str:
    return end.name if end.kind is model.Kind.POD else ""


def _labels_of(key: _Key) -> tuple[str, ...]:
    """Spell a key; the inverse of ``_key_of``."""
    *ends, port, protocol, direction = key
    names = (model.Protocol(int(protocol)).name.lower(), model.Direction(int(direction)).name.lower())
    return (*map(str, ends), str(port), *names)


def _key_of(labels: tuple[str, ...]) -> _Key:
    *ends, port, protocol, direction = labels
    return (*ends, int(port), model.Protocol[protocol.upper()], model.Direction[direction.upper()])
