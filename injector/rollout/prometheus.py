"""Measures a canary by Prometheus: what the callers' sidecars counted of requests to its Service.

Here because Prometheus may be there already, and knows what callers saw. Needs no labels but Envoy's own: a cluster's
name says the Service. Failures are told by what did not succeed, for a series of failures that begins within a window
has no increase in it. What is empty, stale or no number is not known, never 0. Leaves out judging (``judge``).
"""

import asyncio
import json
import math
from typing import Any, Final

import aiohttp

from injector.rollout import model, place

_TIMEOUT_S: Final = 10.0
_MAX_BYTES: Final = 1024 * 1024
"""An answer is one number."""
COMPLETED: Final = "envoy_cluster_upstream_rq_completed"
BY_CLASS: Final = "envoy_cluster_upstream_rq_xx"
BUCKET: Final = "envoy_cluster_upstream_rq_time_bucket"


class Unknown(Exception):  # noqa: N818  # it reads as what happened
    """Prometheus did not give a number."""


def requests(where: place.Place, window_s: float) -> str:
    """Write the query for how many requests there were."""
    return f"sum(increase({COMPLETED}{{{_cluster(where)}}}[{_window(window_s)}]))"


def success(where: place.Place, window_s: float) -> str:
    """Write the query for the percentage that did not fail."""
    good = f'sum(increase({BY_CLASS}{{{_cluster(where)},envoy_response_code_class!="5"}}[{_window(window_s)}]))'
    return f"{model.ALL} * ({good} or vector(0)) / {requests(where, window_s)}"


def p99(where: place.Place, window_s: float) -> str:
    """Write the query for the 99th percentile in milliseconds."""
    grown = f"increase({BUCKET}{{{_cluster(where)}}}[{_window(window_s)}])"
    return f"histogram_quantile(0.99, sum by (le) ({grown}))"


def _cluster(where: place.Place) -> str:
    """Select the callers' clusters of all ports of a Service. Such names have nothing that a pattern would mean."""
    return rf'envoy_cluster_name=~"outbound\\|[0-9]+\\|{where.namespace}/{where.service}"'


def _window(window_s: float) -> str:
    return f"{max(1, math.ceil(window_s * 1000))}ms"


class Prometheus:
    """Asks one."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url.rstrip("/")

    async def begin(self, where: place.Place) -> None:
        """Open a window: Prometheus remembers by itself."""

    async def end(self, where: place.Place, begun: object, spec: model.Spec) -> model.Observed:
        """Close it, and give what was counted meanwhile."""
        del begun
        windows = {each.metric: each.window_s for each in spec.ranges}
        try:
            count = await self._number(requests(where, spec.interval_s))
            values = {
                metric: await self._number(query(where, windows[metric]))
                for metric, query in ((model.Metric.SUCCESS, success), (model.Metric.DURATION, p99))
                if metric in windows
            }
        except Unknown as error:
            return model.Observed(problem=f"Prometheus: {error}")
        rate = values.get(model.Metric.SUCCESS)
        return model.Observed(
            requests=count,
            success=None if rate is None else min(rate, float(model.ALL)),
            p99_ms=values.get(model.Metric.DURATION),
        )

    async def _number(self, query: str) -> float:
        """Ask for one number. Raises Unknown."""
        limits = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        try:
            async with self._session.get(
                f"{self._url}/api/v1/query", params={"query": query}, timeout=limits
            ) as answer:
                body = await _bounded(answer.content)
                if answer.status != 200:
                    raise Unknown(f"it answered {answer.status}")
        except (aiohttp.ClientError, OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            raise Unknown(str(error) or f"no answer within {_TIMEOUT_S:.0f} s") from error
        return number(body)


async def _bounded(content: aiohttp.StreamReader) -> bytes:
    found = bytearray()
    async for chunk in content.iter_any():
        found += chunk
        if len(found) > _MAX_BYTES:
            raise Unknown(f"its answer is more than {_MAX_BYTES} bytes")
    return bytes(found)


def number(body: bytes) -> float:
    """Read the only number of an answer. Raises Unknown."""
    try:
        answer: Any = json.loads(body)
        if answer["status"] != "success":
            raise Unknown("it did not succeed")
        results = answer["data"]["result"]
        if not results:
            raise Unknown("it knows no such requests; are sidecars scraped, twice within the interval?")
        (result,) = results
        value = float(result["value"][1])
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise Unknown("its answer cannot be read") from error
    if not math.isfinite(value):
        raise Unknown("it knows of no requests")
    return value
