"""An agent as the command line meets it: its real API on a real Unix socket, in a thread, with given answers.

A fake because the kernel, Kubernetes and the drain are not there. Leaves out /metrics, which no command asks for.
"""

import asyncio
import pathlib
import threading
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Self

from agent import api, apiaddress, feed, flowjson, mismatchjson, model

PATIENCE_S = 20


class RunningAgent:
    """Serves on ``<folder>/<name>.sock`` between enter and exit."""

    def __init__(self, folder: pathlib.Path, name: str = "node-a", *, max_flows: int = 1000) -> None:
        self.address = apiaddress.ApiAddress(path=str(folder / f"{name}.sock"))
        self.healthy = api.Report(ok=True, detail={})
        self.ready = api.Report(ok=True, detail={})
        self.owned: Sequence[flowjson.Owner] = ()
        self.misnamed: Sequence[mismatchjson.Line] = ()
        self.checked: Sequence[mismatchjson.Checked] = ()
        self.asked_at_wall_ns: int | None = None
        self._name = name
        self._feed = feed.Feed(max_flows=max_flows, node_name=name)
        self._server = api.Server(self.address, self, self._feed)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._server.start(), self._loop).result(PATIENCE_S)
        return self

    def stop(self) -> None:
        """Stop serving."""
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self._server.close(), self._loop).result(PATIENCE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        self._loop.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def publish(self, *flows: model.Flow) -> None:
        """Let the agent have seen flows; returns when it has."""
        asyncio.run_coroutine_threadsafe(self._publish(flows), self._loop).result(PATIENCE_S)

    async def _publish(self, flows: Sequence[model.Flow]) -> None:
        self._feed.publish(flows)

    def wait_for_followers(self, count: int) -> None:
        """Return when that many readers follow."""
        asyncio.run_coroutine_threadsafe(self._wait(count), self._loop).result(PATIENCE_S)

    async def _wait(self, count: int) -> None:
        while self._feed.followers < count:  # noqa: ASYNC110  # the server tells nobody that a reader came
            await asyncio.sleep(0.001)

    def metrics(self, *, openmetrics: bool) -> Iterable[bytes]:
        return ()

    def health(self) -> api.Report:
        return self.healthy

    def readiness(self) -> api.Report:
        return self.ready

    def owners(self, address: model.IpAddress, at_wall_ns: int | None) -> flowjson.Owners:
        self.asked_at_wall_ns = at_wall_ns
        return flowjson.Owners(
            address=str(address), time="2026-11-22T13:00:00Z", node_name=self._name, owners=tuple(self.owned)
        )

    def mismatches(self) -> mismatchjson.Mismatches:
        return mismatchjson.Mismatches(
            node_name=self._name,
            time="2026-11-22T13:00:00Z",
            checked=tuple(self.checked),
            mismatches=tuple(self.misnamed),
        )

    def debug(self) -> Mapping[str, object]:
        return {}
