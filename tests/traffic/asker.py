"""A client that asks exactly what it is told, and tells everything that came back.

    asker '[{"url": "http://web:8080/a", "method": "GET", "headers": {"x": "1"}, "count": 3}]'
    asker '[{"grpc": "web:9090", "call": "/probe.Echo/Say", "question": "told", "headers": {}}]'

Prints one JSON list: for each thing asked a list of answers with status, headers (names in lower case), body and
seconds. Redirects are not followed. ``"version": 2`` is HTTP/2 with prior knowledge (curl). Leaves out load on a
schedule: ``caller``.
"""

import asyncio
import json
import sys
import time
from typing import Any

import aiohttp
import grpc

PATIENCE_S = 30.0
AT_ONCE = 16

Json = dict[str, Any]


async def one(session: aiohttp.ClientSession, asked: Json) -> Json:
    """Ask once by HTTP/1.1."""
    began_s = time.monotonic()
    method, headers = asked.get("method", "GET"), asked.get("headers") or {}
    try:
        async with session.request(
            method, asked["url"], headers=headers, data=asked.get("body"), allow_redirects=False
        ) as answer:
            text = await answer.text()
            told = {key.lower(): value for key, value in answer.headers.items()}
            return {
                "status": answer.status,
                "headers": told,
                "body": _read(text),
                "seconds": time.monotonic() - began_s,
            }
    except aiohttp.ClientError as error:
        return {"status": 0, "headers": {}, "body": repr(error), "seconds": time.monotonic() - began_s}


async def curl(asked: Json) -> Json:
    """Ask once by HTTP/2."""
    words = [f"--header={name}: {value}" for name, value in (asked.get("headers") or {}).items()]
    process = await asyncio.create_subprocess_exec(
        *("curl", "-s", "-i", "--http2-prior-knowledge", "-X", asked.get("method", "GET"), *words, asked["url"]),
        stdout=asyncio.subprocess.PIPE,
    )
    began_s = time.monotonic()
    output, _ = await process.communicate()
    head, _, body = output.decode().partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    told = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    status = int(first.split()[1]) if first else 0
    return {"status": status, "headers": told, "body": _read(body), "seconds": time.monotonic() - began_s}


async def call(asked: Json) -> Json:
    """Ask once by gRPC; the status is gRPC's."""
    began_s = time.monotonic()
    async with grpc.aio.insecure_channel(asked["grpc"]) as channel:
        metadata = tuple((asked.get("headers") or {}).items())
        calling = channel.unary_unary(asked["call"])(
            asked.get("question", "seven").encode(), metadata=metadata, timeout=PATIENCE_S
        )
        code = (await calling.code()).value[0]
        told = {key: str(value) for key, value in await calling.initial_metadata() or ()}
        body: Any = await calling.details()
        if code == 0:
            body = _read((await calling).decode())
    return {"status": code, "headers": told, "body": body, "seconds": time.monotonic() - began_s}


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


async def ask(everything: list[Json]) -> list[list[Json]]:
    """Ask all: one thing after the other, the repetitions of one side by side."""
    limit = asyncio.Semaphore(AT_ONCE)
    connector = aiohttp.TCPConnector(limit=AT_ONCE)
    timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:

        async def once(asked: Json) -> Json:
            async with limit:
                if "grpc" in asked:
                    return await call(asked)
                return await (curl(asked) if asked.get("version") == 2 else one(session, asked))

        return [
            list(await asyncio.gather(*(once(asked) for _ in range(asked.get("count", 1))))) for asked in everything
        ]


if __name__ == "__main__":
    print(json.dumps(asyncio.run(ask(json.loads(sys.argv[1])))))
