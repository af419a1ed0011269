"""A client for ``polyglot``: one try of every protocol, a steady load, or connections that are held.

    caller every HOST                    tries each protocol once; one JSON object: {protocol: what came or the error}
    caller load HOST --rate R --seconds S [--path P]
                                         R requests/s on a fixed schedule, new connections now and then; counts
                                         failures. SIGTERM: sends no more, and says what was found until then
    caller hold HOST --port P --count N --seconds S
                                         N connections that send a byte every 20 ms and check the echo; when each ended

Prints JSON lines, the result last. Requests of ``load`` are due at fixed times: one that is late counts its lateness
as latency (coordinated omission would hide it).
"""

import argparse
import asyncio
import collections
import json
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import grpc

FORGED = {
    "x-forwarded-client-cert": "By=spiffe://cluster.local/ns/a/sa/b;URI=spiffe://cluster.local/ns/kube-system/sa/root"
}
PATIENCE_S = 10.0
HOLD_EVERY_S = 0.02
RENEW_EVERY = 97
"""Requests after which a connection is replaced by a new one, so that handshakes are part of the load."""
_MAX_ERRORS = 20


async def http1(host: str) -> dict[str, Any]:
    """One request that claims to be somebody else."""
    async with aiohttp.ClientSession() as session, session.get(f"http://{host}:8080/hello", headers=FORGED) as answer:
        return {"status": answer.status, "denied": answer.headers.get("x-ipseity-denied", ""), **await _json(answer)}


async def _json(answer: aiohttp.ClientResponse) -> dict[str, Any]:
    text = await answer.text()
    try:
        return dict(json.loads(text))
    except ValueError:
        return {"text": text[:200]}


async def websocket(host: str) -> dict[str, Any]:
    """Upgrade, then talk."""
    async with aiohttp.ClientSession() as session, session.ws_connect(f"ws://{host}:8080/ws", headers=FORGED) as socket:
        hello = dict(await socket.receive_json())
        await socket.send_str("seven")
        return {**hello, "echo": await socket.receive_str()}


async def grpc_calls(host: str) -> dict[str, Any]:
    """One call, then a stream of three."""
    async with grpc.aio.insecure_channel(f"{host}:9090") as channel:
        metadata = tuple(FORGED.items())
        said = await channel.unary_unary("/probe.Echo/Say")(b"seven", metadata=metadata, timeout=PATIENCE_S)
        stream = channel.stream_stream("/probe.Echo/Chat")(metadata=metadata, timeout=PATIENCE_S)
        answers = []
        for question in (b"1", b"2", b"3"):
            await stream.write(question)
            answers.append(json.loads(await stream.read())["question"])
        await stream.done_writing()
        return {**json.loads(said), "stream": answers}


async def opaque(host: str) -> dict[str, Any]:
    """Bytes that are no HTTP, client first."""
    reader, writer = await asyncio.open_connection(host, 7000)
    question = bytes(range(256)) * 257
    writer.write(question)
    echoed = await reader.readexactly(len(question))
    writer.close()
    return {"same": echoed == question, "bytes": len(echoed)}


async def server_first(host: str) -> dict[str, Any]:
    """Wait to be greeted."""
    reader, writer = await asyncio.open_connection(host, 3306)
    started_s = time.monotonic()
    greeting = (await reader.readline()).decode().strip()
    waited_s = time.monotonic() - started_s
    writer.write(b"seven\n")
    echoed = (await reader.readline()).decode().strip()
    writer.close()
    return {"greeting": greeting, "echo": echoed, "waited_s": round(waited_s, 3)}


EVERY: dict[str, Callable[[str], Awaitable[dict[str, Any]]]] = {
    "http1": http1,
    "websocket": websocket,
    "grpc": grpc_calls,
    "opaque": opaque,
    "server_first": server_first,
}


async def every(host: str) -> dict[str, Any]:
    """Try each protocol once."""
    found: dict[str, Any] = {}
    for name, attempt in EVERY.items():
        try:
            found[name] = await asyncio.wait_for(attempt(host), PATIENCE_S)
        except (OSError, EOFError, TimeoutError, aiohttp.ClientError, grpc.aio.AioRpcError) as error:
            found[name] = {"error": f"{type(error).__name__}: {error}"[:300]}
    return found


class Load:
    """Requests at fixed times."""

    def __init__(self, url: str, rate: float, seconds: float) -> None:
        self.url, self.rate, self.total = url, rate, round(rate * seconds)
        self.latencies_s: list[float] = []
        self.failures: collections.Counter[str] = collections.Counter()
        self.names: collections.Counter[str] = collections.Counter()

    async def run(self) -> dict[str, Any]:
        """Send them all; none waits for another."""
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        connector = aiohttp.TCPConnector(limit=64)
        async with aiohttp.ClientSession(
            connector=connector, timeout=aiohttp.ClientTimeout(total=PATIENCE_S)
        ) as session:
            started_s = time.monotonic()
            tasks = []
            for number in range(self.total):
                due_s = started_s + number / self.rate
                await asyncio.sleep(max(0.0, due_s - time.monotonic()))
                if stop.is_set():
                    self.total = number
                    break
                tasks.append(asyncio.create_task(self.one(session, number, due_s)))
            await asyncio.gather(*tasks)
        return self.result()

    async def one(self, session: aiohttp.ClientSession, number: int, due_s: float) -> None:
        """Count what became of one request."""
        headers = {"Connection": "close"} if number % RENEW_EVERY == 0 else {}
        try:
            async with session.get(self.url, headers=headers) as answer:
                told = await _json(answer)
                if answer.status == 200:
                    self.names[str(told.get("name"))] += 1
                else:
                    self.failures[f"status {answer.status} {told.get('text', '')}"[:120]] += 1
        except (OSError, TimeoutError, aiohttp.ClientError) as error:
            self.failures[f"{type(error).__name__}: {error}"[:120]] += 1
        self.latencies_s.append(time.monotonic() - due_s)

    def result(self) -> dict[str, Any]:
        """Say what was found."""
        ranked = sorted(self.latencies_s)

        def at(share: float) -> float:
            return round(1000 * ranked[min(int(share * len(ranked)), len(ranked) - 1)], 2)

        return {
            "requests": self.total,
            "failed": sum(self.failures.values()),
            "failures": dict(self.failures.most_common(_MAX_ERRORS)),
            "answered_by": dict(self.names),
            "p50_ms": at(0.5),
            "p99_ms": at(0.99),
        }


async def hold(host: str, port: int, count: int, seconds: float) -> dict[str, Any]:
    """Keep connections busy; say of each how many bytes came back right and when it ended."""
    started_s = time.monotonic()

    async def one() -> dict[str, Any]:
        sent = echoed = 0
        try:
            reader, writer = await asyncio.open_connection(host, port)
            print(json.dumps({"connected_s": round(time.monotonic() - started_s, 3)}), flush=True)
            while time.monotonic() - started_s < seconds:
                writer.write(bytes([sent % 251]))
                sent += 1
                if await asyncio.wait_for(reader.readexactly(1), PATIENCE_S) != bytes([(sent - 1) % 251]):
                    return {"ended": "wrong byte", "sent": sent, "echoed": echoed, "wall_s": time.time()}  # noqa: TID251  # two processes compare it
                echoed += 1
                await asyncio.sleep(HOLD_EVERY_S)
            writer.close()
        except (OSError, EOFError, TimeoutError) as error:
            why = type(error).__name__
            return {"ended": why, "sent": sent, "echoed": echoed, "wall_s": time.time()}  # noqa: TID251  # two processes compare it
        return {"ended": "", "sent": sent, "echoed": echoed, "wall_s": time.time()}  # noqa: TID251  # two processes compare it

    return {"connections": await asyncio.gather(*(one() for _ in range(count)))}


def main() -> None:
    """Run as a program."""
    words = argparse.ArgumentParser()
    words.add_argument("what", choices=("every", "load", "hold"))
    words.add_argument("host")
    words.add_argument("--port", type=int, default=7000)
    words.add_argument("--path", default="/")
    words.add_argument("--rate", type=float, default=200.0)
    words.add_argument("--seconds", type=float, default=5.0)
    words.add_argument("--count", type=int, default=5)
    given = words.parse_args()
    match given.what:
        case "every":
            result = asyncio.run(every(given.host))
        case "load":
            result = asyncio.run(Load(f"http://{given.host}:8080{given.path}", given.rate, given.seconds).run())
        case _:
            result = asyncio.run(hold(given.host, given.port, given.count, given.seconds))
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
