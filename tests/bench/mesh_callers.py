"""Those who ask the control plane for certificates and reviews, in a process of their own.

    python -m tests.bench.mesh_callers certify BUNDLE PORT COUNT AT_ONCE
    python -m tests.bench.mesh_callers review BODY PORT CA COUNT AT_ONCE RATE

Prints how long it took in all, and the latencies in milliseconds, sorted. A certificate is asked for on a connection of
its own, as a sidecar does; reviews are on connections that stay, as the API server's do. RATE: so many are due in a
second, whatever became of those before, and latency counts from then; 0: as fast as AT_ONCE of them allow.
"""

import asyncio
import json
import pathlib
import ssl
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp
import grpc
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from injector.proto import identity_pb2, identity_pb2_grpc
from injector.sidecar import certify
from tests.bench import mesh_cluster
from tests.fakes import authority

OPTIONS = (("grpc.ssl_target_name_override", authority.CONTROL_PLANE), ("grpc.use_local_subchannel_pool", 1))
_KEYS = 64
"""Made before the clock starts: making keys is the sidecar's work."""
_DEADLINE_S = 30.0


async def papers(port: int, bundle: str, number: int) -> list[str]:
    """Get a pod's certificate; gives key and chain, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    chain = await _certificate(port, bundle.encode(), certify.signing_request(key), number)
    found = (x509.load_der_x509_certificate(each) for each in chain)
    return [
        authority.key_pem(key).decode(),
        b"".join(each.public_bytes(serialization.Encoding.PEM) for each in found).decode(),
    ]


async def _certificate(port: int, bundle: bytes, request: bytes, number: int) -> list[bytes]:
    credentials = grpc.ssl_channel_credentials(bundle)
    async with grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options=OPTIONS) as channel:
        asked = identity_pb2.CertifyRequest(csr_der=request, token=mesh_cluster.token(number))
        answer = await identity_pb2_grpc.IdentityStub(channel).Certify(asked, timeout=_DEADLINE_S)
    return list(answer.chain_der)


async def _certify(anchors: bytes, port: str, count: str, at_once: str) -> dict[str, Any]:
    requests = [certify.signing_request(ec.generate_private_key(ec.SECP256R1())) for _ in range(_KEYS)]

    async def one(number: int) -> None:
        await _certificate(int(port), anchors, requests[number % _KEYS], number % mesh_cluster.USUAL.pods)

    return await _all(one, int(count), int(at_once), 0.0)


async def _review(body: bytes, *words: str) -> dict[str, Any]:
    port, ca, count, at_once, rate = words
    review = json.loads(body)
    trust = ssl.create_default_context(cafile=ca)
    address = f"https://127.0.0.1:{port}/inject"
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=16, ssl=trust)) as session:

        async def one(number: int) -> None:
            review["request"]["uid"] = f"00000000-0000-4000-8000-{number:012d}"
            async with session.post(address, json=review, server_hostname=authority.CONTROL_PLANE) as said:
                answer = await said.json()
            if not answer["response"]["allowed"] or "patch" not in answer["response"]:
                raise RuntimeError(f"not injected: {answer}")

        await _all(one, 16, 16, 0.0)  # connections, which the API server has already
        return await _all(one, int(count), int(at_once), float(rate))


async def _all(
    one: Callable[[int], Coroutine[Any, Any, None]], count: int, at_once: int, rate: float
) -> dict[str, Any]:
    """Do something so many times."""
    gate = asyncio.Semaphore(at_once)
    began_s = time.monotonic()
    latencies_ms = []

    async def timed(number: int) -> None:
        due_s = began_s + number / rate if rate else 0.0
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        async with gate:
            started_s = due_s or time.monotonic()
            await one(number)
            latencies_ms.append(1000 * (time.monotonic() - started_s))

    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(timed(number))
    return {"took_s": time.monotonic() - began_s, "latencies_ms": sorted(latencies_ms)}


def main() -> None:
    """Run as a program."""
    what, file, *words = sys.argv[1:]
    given = pathlib.Path(file).read_bytes()
    print(json.dumps(asyncio.run({"certify": _certify, "review": _review}[what](given, *words))))


if __name__ == "__main__":
    main()
