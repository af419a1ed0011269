"""Tapping a pod, by real requests through real Envoys: what is told at both ends, what never is, and that it ends.

Leaves out the way from a person to the pod (``tests/unit/injector/seeing/test_tap``).
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import Any, Self

import pytest
import pytest_asyncio

from injector.sidecar import files
from tests.scene import clone, routed, street

pytestmark = pytest.mark.asyncio(loop_scope="module")
SPIFFE = "spiffe://cluster.local/ns/shop/sa/"
SECRETS = ("s3cr3t", "t0ken", "b0dy")
Json = dict[str, Any]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def block() -> AsyncIterator[routed.Block]:
    async with routed.block() as made:
        yield made


class Tap:
    """``ipseity sidecar tap`` in one pod, as the proxy's user."""

    def __init__(self, house: street.House, *words: str) -> None:
        self._house = house
        self._words = words

    async def __aenter__(self) -> Self:
        command = "import sys; from injector.sidecar import commands; commands.sidecar(sys.argv[1:])"
        self.process = await asyncio.create_subprocess_exec(
            *("setpriv", f"--reuid={street.UID}", f"--regid={street.UID}", "--clear-groups"),
            *(sys.executable, "-c", command, "tap", "--workload-dir", str(self._house.workload), *self._words),
            cwd=clone.ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(street.PATIENCE_S):
            while "10000" not in await self._house.admin("/runtime"):
                assert self.process.returncode is None
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    async def told(self) -> tuple[list[Json], str]:
        """Wait for its end; gives what it told, and what it said of itself."""
        async with asyncio.timeout(street.PATIENCE_S):
            output, said = await self.process.communicate()
        return [json.loads(line) for line in output.splitlines()], said.decode()


async def test_both_ends_tell_who_and_what_and_nothing_else(block: routed.Block) -> None:
    """Identities, path, status and route; no query, no header, no body, although all of them are there."""
    await block.route(routed.http(routed.tagged("one", routed.path("/cart"))))
    web = next(iter(block.ours.pods))
    server = street.House(name=f"ipseity-{web.ref.name}", pod=web, workload=block.ours.top / web.ref.name)
    async with Tap(server, "--most", "3") as inside, Tap(block.client, "--most", "3") as outside:
        for path in ("/cart/7", "/cart?key=s3cr3t", "/nothing"):
            await block.get(path, method="POST", body="b0dy", headers={"authorization": "t0ken", "x-mine": "t0ken"})
        await block.get("/", host=routed.POD)
        (inbound, said), (outbound, _) = await inside.told(), await outside.told()
    assert [("/cart/7", 200), ("/cart", 200), ("/", 200)] == [(each["path"], each["status"]) for each in inbound]
    assert [("/cart/7", 200), ("/cart", 200), ("/nothing", 404)] == [
        (each["path"], each["status"]) for each in outbound
    ]
    first, other = inbound[0], outbound[0]
    assert ("inbound", f"{SPIFFE}client", "POST", 8080) == (
        first["direction"], first["source"], first["method"], first["port"]
    )  # fmt: skip
    assert ("outbound", f"{SPIFFE}web", "r", "1", "outbound|8080|shop/web") == (
        other["direction"], other["destination"], other["routeName"], other["routeRule"], other["backend"]
    )  # fmt: skip
    assert first["milliseconds"] >= 0
    text = json.dumps([inbound, outbound])
    assert [] == [secret for secret in SECRETS if secret in text]
    assert '"shown": 3, "dropped": 0' in said


async def test_nothing_is_left_when_it_has_ended(block: routed.Block) -> None:
    """Envoy tells nobody of anything, and the socket is gone; the next one is not told what was before."""
    async with Tap(block.client, "--for", "0.3") as tap:
        await tap.told()
    assert "10000" not in await block.client.admin("/runtime")
    directory = str(block.client.workload)
    assert not [path for path in (files.tap_socket(directory),) if block.client.workload.joinpath(path).exists()]
    await block.get("/")
    async with Tap(block.client, "--most", "1") as tap:
        await block.get("/after")
        found, _ = await tap.told()
    assert ["/after"] == [each["path"] for each in found]


async def test_one_at_a_time_and_not_by_others(block: routed.Block) -> None:
    """The second is told so; the first goes on."""
    async with Tap(block.client, "--most", "1") as tap:
        async with Tap(block.client) as second:
            _, said = await second.told()
        assert (1, True) == (second.process.returncode, "somebody else taps this pod" in said)
        await block.get("/still")
        found, _ = await tap.told()
    assert ["/still"] == [each["path"] for each in found]
