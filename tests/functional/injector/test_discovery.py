"""Real pods, real Envoys, the real discovery: what is carried, to whom, and what a change leaves alone.

Leaves out policies (``test_discovery_cut``), the supervisor and Kubernetes.
"""

import asyncio
import contextlib
import dataclasses
import json
import time
from collections.abc import AsyncIterator

import pytest

from injector import annotations
from injector.cluster import model
from tests.scene import street

WEB_IP, API_IP = "10.97.0.1", "10.97.0.2"
CLIENT_ID = "spiffe://cluster.local/ns/shop/sa/client"


@contextlib.asynccontextmanager
async def web_and_client(
    client: model.Pod | None = None,
) -> AsyncIterator[tuple[street.Street, street.House, street.House]]:
    """Two pods: ``web`` with a Service and an application, ``client`` with neither."""
    async with street.street() as ours:
        web, client = street.pod(10, "web"), client or street.pod(11, "client")
        ours.pods = [web, client]
        ours.services = [street.fronting("web", WEB_IP, [web])]
        ours.publish()
        async with ours.house(web) as there, ours.house(client, application=False) as here:
            await ours.synced(2)
            yield ours, there, here


@pytest.mark.parametrize("host", [WEB_IP, "10.215.0.10"])
async def test_every_protocol_is_carried_and_the_caller_is_named_and_cannot_lie(host: str) -> None:
    """Through a Service and to the pod's own address: all by mTLS, and HTTP tells the application who calls."""
    async with web_and_client() as (_, web, client):
        found = await client.ask("every", host)
        http = {name: found[name]["caller"].rpartition("URI=")[2] for name in ("http1", "websocket", "grpc")}
        assert dict.fromkeys(("http1", "websocket", "grpc"), CLIENT_ID) == http
        assert {"same": True, "bytes": 65_792} == found["opaque"]
        assert "polyglot 5.7 at your service" == found["server_first"]["greeting"]
        assert found["server_first"]["waited_s"] < 0.5
        listeners = await web.listeners()
        assert {"active"} == set(listeners.values())
        assert {} == await web.stats("|-.")  # nothing came in plaintext


async def test_a_pod_reaches_itself_through_its_service() -> None:
    """It may be chosen as its own endpoint: by mTLS, through its own inbound side, without a circle."""
    async with web_and_client() as (_, web, _client):
        found = await web.ask("every", WEB_IP)
        assert found["http1"]["caller"].endswith("/sa/web")
        assert found["opaque"]["same"]


async def test_who_is_not_meshed_is_heard_in_plaintext_and_cannot_say_who_it_is() -> None:
    """Permissive: the same ports, no certificate; a forged header does not get through."""
    async with web_and_client() as (_, web, _client):
        process = await asyncio.create_subprocess_exec(
            *("curl", "-s", "-H", "x-forwarded-client-cert: URI=spiffe://cluster.local/ns/a/sa/b"),
            f"http://{web.pod.addresses[0]}:8080/hello",
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
        assert b'"caller": ""' in output
        assert b'"status": 200' not in output
        assert b'"name": "web-10"' in output


@pytest.mark.parametrize("words", [("-0", "-H", "Host:"), ("-X", "REPORTS")])
async def test_http_that_an_application_would_answer_is_carried(words: tuple[str, ...]) -> None:
    """HTTP/1.0 without a host, as in old health checks, and a method of no RFC: the answer is not Envoy's."""
    async with web_and_client() as (_, web, _client):
        process = await asyncio.create_subprocess_exec(
            *("curl", "-s", "-i", *words, f"http://{web.pod.addresses[0]}:8080/hello"), stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate()
        assert b"aiohttp" in output


async def test_strict_outbound_refuses_plaintext_and_reaches_the_meshed() -> None:
    """A destination that nobody knows is refused and counted; a meshed one is reached."""
    strict = street.pod(11, "client", outbound=annotations.OutboundMode.STRICT)
    async with web_and_client(strict) as (_, _web, client):
        assert {"same": True, "bytes": 65_792} == (await client.ask("every", WEB_IP))["opaque"]
        assert "error" in (await client.ask("every", street.GATE))["opaque"]
        counted = await client.stats("cluster.refused.upstream_cx_none_healthy")
        assert 0 < sum(counted.values())


async def test_unknown_destinations_pass_and_are_counted() -> None:
    """What is no Service and no pod is reached as if there were no proxy."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async with web_and_client() as (_, _web, client), await asyncio.start_server(answer, street.GATE, 7000):
        assert (await client.ask("every", street.GATE))["opaque"]["same"]
        counted = await client.stats("cluster.passthrough.upstream_cx_total")
        assert 0 < sum(counted.values())


async def test_an_external_name_leads_where_it_leads() -> None:
    """It names another name and has no address: within the mesh by mTLS, beyond it as if there were no proxy."""
    heard: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nfar")
        writer.close()

    async def fetched(host: str, address: str) -> bytes:
        words = ("-s", "-m", "10", "--resolve", f"{host}:8080:{address}", f"http://{host}:8080/hello")
        process = await asyncio.create_subprocess_exec(*client.command("curl", *words), stdout=asyncio.subprocess.PIPE)
        output, _ = await process.communicate()
        return output

    async with web_and_client() as (ours, web, client), await asyncio.start_server(answer, street.GATE, 8080):
        port = model.ServicePort(name="http", port=8080, target=8080, protocol=model.Protocol.HTTP)
        for name, leads in (("near", "web.shop.svc.cluster.local"), ("far", "far.example")):
            ours.services.append(
                model.Service(
                    namespace="shop", name=name, addresses=(), ports=(port,), endpoints={}, external_name=leads
                )
            )
        ours.publish()
        await ours.synced(2)
        said = json.loads(await fetched("near.shop.svc.cluster.local", WEB_IP))
        assert (web.pod.ref.name, CLIENT_ID) == (said["name"], said["caller"].rpartition("URI=")[2])
        assert b"far" == await fetched("far.example", street.GATE)
        assert [True] == [b"host: far.example:8080\r\n" in each.lower() for each in heard]
        assert 1 == sum((await client.stats("cluster.passthrough.upstream_cx_total")).values())
        assert {} == {name: how for name, how in (await client.listeners()).items() if how != "active"}


async def test_a_new_endpoint_takes_traffic_within_a_second_and_nobody_is_cut() -> None:
    """Endpoints come and go, with an account that is new to the Service: connections to those that stay live on."""
    async with web_and_client() as (ours, web, client):
        held = asyncio.create_task(client.ask("hold", WEB_IP, "--port", "7000", "--count", "5", "--seconds", "8"))
        second = street.pod(12, "web2")
        async with ours.house(second):
            ours.pods.append(second)
            ours.publish()
            await ours.synced(3)
            ours.services = [street.fronting("web", WEB_IP, [web.pod, second])]
            began_s = time.monotonic()
            ours.publish()
            await ours.synced(3)
            assert time.monotonic() - began_s < 1
            names = {(await client.ask("every", WEB_IP))["http1"]["name"] for _ in range(7)}
            assert {"web-10", "web2-12"} == names
            ours.services = [street.fronting("web", WEB_IP, [web.pod])]
            ours.publish()
            await ours.synced(3)
            assert "web-10" == (await client.ask("every", WEB_IP))["http1"]["name"]
        found = (await held)["connections"]
        assert [""] * 5 == [each["ended"] for each in found]
        assert [each["sent"] for each in found] == [each["echoed"] for each in found]


async def test_an_endpoint_that_leaves_finishes_what_runs() -> None:
    """Its connections go on when it is no endpoint any more; new ones go elsewhere."""
    async with web_and_client() as (ours, _web, client):
        held = asyncio.create_task(client.ask("hold", WEB_IP, "--port", "7000", "--count", "5", "--seconds", "5"))
        second = street.pod(12, "web")
        async with ours.house(second):
            ours.pods.append(second)
            ours.publish()
            await ours.synced(3)
            ours.services = [street.fronting("web", WEB_IP, [second])]
            ours.publish()
            await ours.synced(3)
            assert "web-12" == (await client.ask("every", WEB_IP))["http1"]["name"]
            assert [""] * 5 == [each["ended"] for each in (await held)["connections"]]


async def test_a_control_plane_that_comes_back_changes_nothing() -> None:
    """Proxies serve on without it, come back, and are told nothing that they know."""
    async with web_and_client() as (ours, web, client):
        held = asyncio.create_task(client.ask("hold", WEB_IP, "--port", "7000", "--count", "5", "--seconds", "8"))
        before = await web.stats("update_success")
        await ours.restart()
        assert (await client.ask("every", WEB_IP))["opaque"]["same"]
        await ours.synced(2)
        after = await web.stats("update_success")
        assert {name: count for name, count in before.items() if "cds" in name or "lds" in name} == {
            name: count for name, count in after.items() if "cds" in name or "lds" in name
        }
        assert [""] * 5 == [each["ended"] for each in (await held)["connections"]]


async def test_an_endpoint_that_should_be_meshed_and_is_not_gets_no_plaintext() -> None:
    """Where mTLS is expected and nobody speaks it, the connection fails: there is no silent downgrade."""
    async with web_and_client() as (ours, _web, client):
        impostor = dataclasses.replace(street.pod(1, "web"), addresses=(street.GATE,))
        ours.pods.append(impostor)
        ours.services.append(street.fronting("gate", API_IP, [impostor]))
        ours.publish()
        await ours.synced(2)
        heard: list[bytes] = []

        async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard.append(await reader.read(3))
            writer.close()

        async with await asyncio.start_server(listen, street.GATE, 7000):
            assert "error" in (await client.ask("every", API_IP))["opaque"]
        assert heard
        assert {b"\x16\x03\x01"} == set(heard)  # a TLS ClientHello, and nothing of the application's
