"""Where flows and totals go besides the API: the flow log and the OTLP export, each of them only if asked for.

Here because ``app`` only wires, and neither of the two may cost anything where it is not wanted: what OTLP needs is
imported when there is an endpoint. Leaves out what they do (``flowlog``, ``otlp``).
"""

import concurrent.futures
import importlib.metadata
import os
import pathlib
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from agent import clock, config, flowlog, health, metrics, model

if typing.TYPE_CHECKING:
    from agent import otlp

_CLOSE_S: Final = 2.0
"""Of the five seconds that an agent has to stop."""


class Outlets:
    """Takes what a drain brought; never raises and never waits, until it is closed."""

    def __init__(self, settings: config.Config) -> None:
        """Open them. Raises SettingError if the export's certificates or headers cannot be used."""
        self._flow_log = _flow_log(settings)
        self._records = settings.records
        self._which = settings.otlp_flows
        self._interval_ns = int(settings.otlp_metrics_interval_s * 1e9)
        self._due_boot_ns = 0
        self._otlp = _otlp(settings) if settings.otlp_endpoint else None

    def take(self, edges: Sequence[model.Flow], connections: Sequence[model.Flow]) -> None:
        """Hand flows over."""
        if self._flow_log is not None:
            self._flow_log.write([*edges, *connections] if self._records else edges)
        if self._otlp is not None and self._which != "none":
            self._otlp.write([*edges, *connections], self._which)

    def measure(
        self, now: clock.Now, flows: metrics.FlowMetrics, state: Callable[[], health.Health], *, last: bool = False
    ) -> None:
        """Hand totals over, if it is time; ``last``: the agent ends, and its last totals are worth having."""
        if self._otlp is None or not self._interval_ns or not (last or now.boot_ns >= self._due_boot_ns):
            return
        self._due_boot_ns = now.boot_ns + self._interval_ns
        self._otlp.measure(now.wall_ns, flows, list(health.families(state(), flows)))

    def drops(self) -> dict[str, int]:
        """Give what did not get out, by stage."""
        found: dict[str, int] = {}
        if self._flow_log is not None:
            found |= {f"flow_log_{cause.value}": count for cause, count in self._flow_log.drops.items()}
        if self._otlp is not None:
            found |= {f"otlp_{signal}_{reason}": count for (signal, reason), count in self._otlp.lost.items()}
        return found

    def health(self) -> Mapping[str, Any]:
        """Give the fields of ``health.Health`` that are theirs."""
        if self._otlp is None:
            return {}
        return {
            "otlp_sent": self._otlp.sent,
            "otlp_failed": self._otlp.failed,
            "otlp_waiting": self._otlp.waiting,
        }

    def close(self) -> None:
        """Write and send what waits, both at once, for two seconds at most."""
        with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
            closing = [held.close for held in (self._flow_log, self._otlp) if held is not None]
            for each in [pool.submit(close, _CLOSE_S) for close in closing]:
                each.result()


def _flow_log(settings: config.Config) -> flowlog.FlowLog | None:
    if not settings.flow_log:
        return None
    return flowlog.FlowLog(
        pathlib.Path(settings.flow_log),
        max_bytes=settings.flow_log_max_bytes,
        files=settings.flow_log_files,
        node_name=settings.node(),
    )


def _otlp(settings: config.Config) -> "otlp.Exporter":
    # 7 MB of messages, and nobody pays for them who exports nothing.
    from agent import otlp, otlpmetrics, otlppost, otlpwords  # noqa: PLC0415  # see above

    version, now = importlib.metadata.version("ipseity"), clock.now()
    target = otlppost.Target(
        url=settings.otlp_endpoint.rstrip("/"),
        headers_file=settings.otlp_headers_file,
        headers=otlppost.variable_headers(os.environ),
        ca_file=settings.otlp_ca_file,
        certificate_file=settings.otlp_certificate_file,
        key_file=settings.otlp_key_file,
        timeout_s=settings.otlp_timeout_s,
        compress=settings.otlp_compression == "gzip",
    )
    return otlp.Exporter(
        target,
        resource=otlpwords.resource(settings.node(), version, os.environ),
        version=version,
        starts=otlpmetrics.Starts(boot_wall_ns=now.wall_of(0), agent_wall_ns=now.wall_ns),
        max_waiting=settings.otlp_queue,
    )
