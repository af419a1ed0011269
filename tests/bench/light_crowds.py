"""Crowds of ``light_proxies`` in processes of their own: what thousands of pods do, one event loop cannot.

    async with light_crowds.connected(port, bundle, papers) as crowd:
        late_s = await crowd.heard(resource.ENDPOINT, "outbound|80|shop/web", change)

A process says a line for what it is told in one: first the proxies, then each time what they are to listen for. When
all have heard it says when, on the clock that all processes share. Each process has a share of the proxies.
"""

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from tests.bench import light_proxies

PROCESSES = 2
_LINE = 1 << 26
"""Keys and chains of all proxies of a process are one line: 2 kB each."""


class Crowds:
    """All proxies of all processes. Use ``connected``."""

    def __init__(self, processes: Sequence[asyncio.subprocess.Process], size: int) -> None:
        self._processes = processes
        self.size = size
        self.bytes = 0
        """What all were told until everybody was told everything."""

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes."""
        return tuple(each.pid for each in self._processes)

    async def heard(self, kind: str, name: str, change: Callable[[], Awaitable[None]]) -> list[float]:
        """Change something; gives after how many seconds each proxy heard of a resource whose name begins so."""
        await self.all([{"kind": kind, "name": name}] * len(self._processes))
        began_s = time.monotonic()
        await change()
        told = await asyncio.gather(*(_line(each) for each in self._processes))
        return [each_s - began_s for one in told for each_s in one["heard_s"]]

    async def all(self, words: Sequence[Any]) -> list[Any]:
        """Tell each process a line, and take a line of each."""
        for each, word in zip(self._processes, words, strict=True):
            assert each.stdin is not None
            each.stdin.write(json.dumps(word).encode() + b"\n")
        return await asyncio.gather(*(_line(each) for each in self._processes))


@contextlib.asynccontextmanager
async def connected(port: int, bundle: str, papers: Sequence[Sequence[str]]) -> AsyncIterator[Crowds]:
    """Have a proxy for each of the papers; all are told everything. One that ends is an error."""
    async with contextlib.AsyncExitStack() as stack:
        processes = [await stack.enter_async_context(_process()) for _ in range(PROCESSES)]
        crowds = Crowds(processes, len(papers))
        shares = [papers[number::PROCESSES] for number in range(PROCESSES)]
        told = await crowds.all([{"port": port, "bundle": bundle, "papers": share} for share in shares])
        crowds.bytes = sum(each["bytes"] for each in told)
        yield crowds


@contextlib.asynccontextmanager
async def _process() -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.light_crowds"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LINE,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _line(process: asyncio.subprocess.Process) -> Any:
    assert process.stdout is not None
    if not (line := await process.stdout.readline()):
        raise RuntimeError("a crowd has ended: see what it said")
    return json.loads(line)


async def _live() -> None:
    """Be the proxies of one process."""
    reader = asyncio.StreamReader(limit=_LINE)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    ours = json.loads(await reader.readline())
    async with light_proxies.connected(ours["port"], ours["bundle"], ours["papers"]) as crowd:
        print(json.dumps({"bytes": crowd.bytes}), flush=True)
        while line := await reader.readline():
            heard = await crowd.heard_at(**json.loads(line), listening=_listening)
            print(json.dumps({"heard_s": heard}), flush=True)


async def _listening() -> None:
    print(json.dumps({}), flush=True)


if __name__ == "__main__":
    asyncio.run(_live())
