"""The webhook over real HTTPS on a loopback port. Leaves out what is answered (golden files) and a real API server."""

import asyncio
import contextlib
import datetime as dt
import io
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import prometheus_client
import pytest

from injector import door, errors, names
from injector.webhook import certificate, injection, metrics, review, server, tls
from ipseity import kube
from tests.fakes import admission

NOW = dt.datetime.now(tz=dt.UTC)  # noqa: TID251  # TLS clients look at the real clock
POD = {"metadata": {"name": "web", "annotations": {names.INJECT: "enabled"}}, "spec": {"containers": [{"name": "web"}]}}


class Namespaces:
    """What namespaces say, at hand and afresh."""

    def __init__(self) -> None:
        self.at_hand: dict[str, str] = {}
        self.afresh: dict[str, str] = {}
        self.error: Exception | None = None
        self.holding: asyncio.Event | None = None
        self.asked = asyncio.Semaphore(0)

    async def annotations(self, name: str, *, fresh: bool = False) -> Mapping[str, str]:
        self.asked.release()
        if self.holding:
            await self.holding.wait()
        if self.error:
            raise self.error
        return self.afresh if fresh else self.at_hand


class Heard:
    def __init__(self) -> None:
        self.outcomes: list[injection.Outcome] = []

    def announce(self, request: review.Review, outcome: injection.Outcome) -> None:
        self.outcomes.append(outcome)


class Scene:
    def __init__(self) -> None:
        self.namespaces, self.heard, self.registry = Namespaces(), Heard(), prometheus_client.CollectorRegistry()
        self.credentials = tls.Credentials()
        self.known = True
        self.server = server.Server(
            self.credentials,
            admission.INSTALLATION,
            self.namespaces,
            self.heard,
            metrics.Metrics(self.registry),
            is_ready=lambda: self.known,
        )

    def counted(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"ipseity_injection_{name}_total", labels)

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[aiohttp.ClientSession]:
        """Trust what is served now."""
        assert self.credentials.pair
        trust = ssl.create_default_context(cadata=self.credentials.pair.authority_pem.decode())
        connector = aiohttp.TCPConnector(ssl=trust)
        async with aiohttp.ClientSession(f"https://127.0.0.1:{self.server.port}", connector=connector) as session:
            yield session

    async def post(self, raw: bytes, path: str = "/inject") -> tuple[int, Any]:
        async with self.client() as session, session.post(path, data=io.BytesIO(raw)) as response:
            text = await response.text()
            return response.status, json.loads(text) if text.startswith("{") else text


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    made = Scene()
    made.credentials.use(certificate.make(("127.0.0.1",), NOW))
    await made.server.start("127.0.0.1", 0)
    yield made
    await made.server.close()


async def test_a_pod_is_answered_counted_and_told(scene: Scene) -> None:
    """As kube-apiserver asks."""
    status, answer = await scene.post(admission.body(POD))
    assert (200, True, "JSONPatch") == (status, answer["response"]["allowed"], answer["response"]["patchType"])
    assert 1 == scene.counted("reviews", result="inject", reason="", owner_kind="Pod")
    assert ["inject"] == [outcome.result for outcome in scene.heard.outcomes]


async def test_what_the_informer_has_not_heard_yet_is_asked_for(scene: Scene) -> None:
    """A pod may come a millisecond after its namespace opted in."""
    scene.namespaces.afresh = {names.INJECT: "enabled"}
    silent = {**POD, "metadata": {"name": "web"}}
    _, answer = await scene.post(admission.body(silent))
    assert "patch" in answer["response"]


async def test_a_namespace_that_cannot_be_learned_keeps_the_pod_out(scene: Scene) -> None:
    """It might say what the pod must not be without."""
    scene.namespaces.error = kube.KubernetesError("cannot reach it")
    status, answer = await scene.post(admission.body(POD))
    assert (200, False, 503) == (status, answer["response"]["allowed"], answer["response"]["status"]["code"])
    assert "cannot reach it" in answer["response"]["status"]["message"]
    assert 1 == scene.counted("unknown_namespace")


async def test_another_resource_is_let_in_without_asking_anybody(scene: Scene) -> None:
    """Somebody configured more than pods."""
    scene.namespaces.error = kube.KubernetesError("not asked")
    other = {"group": "apps", "version": "v1", "resource": "deployments"}
    for raw in (admission.body({}, resource=other), admission.body({}, operation="UPDATE")):
        _, answer = await scene.post(raw)
        assert answer["response"]["allowed"]


async def test_a_namespace_gets_its_label(scene: Scene) -> None:
    """While it is written."""
    resource = {"group": "", "version": "v1", "resource": "namespaces"}
    raw = admission.body({"metadata": {"name": "shop", "annotations": {names.INJECT: "enabled"}}}, resource=resource)
    _, answer = await scene.post(raw, "/namespace")
    patch = admission.operations(json.dumps(answer).encode())
    assert [{"op": "add", "path": "/metadata/labels", "value": {names.INJECTS: "enabled"}}] == patch


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"", 400),
        (b"{}", 400),
        (b"\xff\xfe", 400),
        (admission.body(POD, uid=""), 400),
        (b"[" * 100_000, 400),
        (b"x" * (server.MAX_BODY_BYTES + 1), 413),
    ],
)
async def test_what_is_no_review_is_a_4xx(raw: bytes, status: int, scene: Scene) -> None:
    """In one line of JSON, without a traceback."""
    answered, body = await scene.post(raw)
    assert status == answered
    assert {"error"} == set(body)
    assert 1 == scene.counted("malformed", code=str(status))


@pytest.mark.parametrize(
    "said",
    [
        b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nplain",
        b"Content-Encoding: br\r\nContent-Length: 5\r\n\r\nplain",
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nplain",
    ],
)
async def test_a_body_that_is_not_as_its_headers_say_is_a_4xx(
    said: bytes, scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor is there a traceback, from us or from the server below."""
    assert scene.credentials.pair
    trust = ssl.create_default_context(cadata=scene.credentials.pair.authority_pem.decode())
    reader, writer = await asyncio.open_connection("127.0.0.1", scene.server.port, ssl=trust)
    writer.write(b"POST /inject HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + said)
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    await writer.wait_closed()
    assert b" 400 Bad Request" == answer[8:24]
    assert scene.counted("malformed", code="400")
    assert [] == [each.getMessage() for each in caplog.records if each.exc_info]
    assert 0 == scene.counted("defects")


async def test_a_malformed_review_whose_uid_can_be_read_is_refused_by_it(scene: Scene) -> None:
    """The API server shows the message to whoever asked."""
    old = admission.body(POD).replace(b"admission.k8s.io/v1", b"admission.k8s.io/v1beta1")
    astray = admission.body(POD, namespace="../kube-system")
    for raw, word in ((admission.body(POD, operation=7), "operation"), (old, "v1beta1"), (astray, "namespace")):
        status, answer = await scene.post(raw)
        assert (200, admission.UID, False) == (status, answer["response"]["uid"], answer["response"]["allowed"])
        assert word in answer["response"]["status"]["message"]


async def test_other_paths_and_methods(scene: Scene) -> None:
    """Are somebody else's."""
    assert 404 == (await scene.post(b"{}", "/mutate"))[0]
    async with scene.client() as session, session.get("/inject") as response:
        assert 405 == response.status


async def test_an_error_of_ours_is_a_500_that_says_nothing(scene: Scene) -> None:
    """What it was is in the log, and counted."""
    scene.namespaces.error = ZeroDivisionError("secret")
    status, body = await scene.post(admission.body(POD))
    assert (500, "an error of ipseity's own\n") == (status, body)
    assert 1 == scene.counted("defects")


async def test_ready_with_a_certificate_and_namespaces(scene: Scene) -> None:
    """And not while they are not known."""
    async with scene.client() as session:
        for known, status in ((True, 200), (False, 503)):
            scene.known = known
            async with session.get("/readyz") as response:
                assert status == response.status
        async with session.get("/livez") as response:
            assert 200 == response.status


async def test_only_tls_1_3(scene: Scene) -> None:
    """kube-apiserver has had it since 1.14."""
    old = ssl.create_default_context()
    old.check_hostname, old.verify_mode, old.maximum_version = False, ssl.CERT_NONE, ssl.TLSVersion.TLSv1_2
    with pytest.raises(OSError):  # noqa: PT011  # an alert, or a reset that was faster
        await asyncio.open_connection("127.0.0.1", scene.server.port, ssl=old)


async def test_a_new_certificate_costs_no_connection(scene: Scene) -> None:
    """Open connections go on with what they have; the next one gets the new one."""
    following = certificate.make(("127.0.0.1",), NOW)
    async with scene.client() as session:
        async with session.post("/inject", data=admission.body(POD)) as response:
            assert 200 == response.status
        scene.credentials.use(following)
        async with session.post("/inject", data=admission.body(POD)) as response:
            assert 200 == response.status
    assert 200 == (await scene.post(admission.body(POD)))[0]


async def test_more_at_once_than_can_be_worked_on_are_told_to_come_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Instead of everybody waiting until everybody's time is up."""
    monkeypatch.setattr(server, "_MAX_AT_ONCE", 2)
    scene.namespaces.holding = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(scene.post(admission.body(POD))) for _ in range(2)]
        for _ in waiting:
            await scene.namespaces.asked.acquire()
        assert 429 == (await scene.post(admission.body(POD)))[0]
        scene.namespaces.holding.set()
    assert [200, 200] == [task.result()[0] for task in waiting]


async def test_what_is_in_work_is_answered_before_the_end(scene: Scene) -> None:
    """A rolling update of the control plane costs no pod."""
    scene.namespaces.holding = asyncio.Event()
    asking = asyncio.create_task(scene.post(admission.body(POD)))
    await scene.namespaces.asked.acquire()
    closing = asyncio.create_task(scene.server.close())
    await asyncio.sleep(0)
    scene.namespaces.holding.set()
    assert 200 == (await asking)[0]
    await closing


async def test_who_asks_while_it_ends_is_answered_and_sent_elsewhere(scene: Scene) -> None:
    """On the connection that the API server has; its next request comes by another one, to another replica."""
    async with scene.client() as session:
        async with session.get("/livez") as response:
            assert "Connection" not in response.headers
        closing = asyncio.create_task(scene.server.close(linger_s=0.2))
        while not scene.server._closing:  # noqa: ASYNC110  # its first step
            await asyncio.sleep(0)
        async with session.post("/inject", data=admission.body(POD)) as response:
            assert (200, "close") == (response.status, response.headers["Connection"])
        await closing


async def test_idle_connections_make_room_for_whoever_asks(scene: Scene) -> None:
    """A caller that opens hundreds keeps some; another one is answered all the same, and so is the one in work."""
    assert scene.credentials.pair
    trust = ssl.create_default_context(cadata=scene.credentials.pair.authority_pem.decode())
    scene.namespaces.holding = asyncio.Event()
    working = asyncio.create_task(scene.post(admission.body(POD)))
    await scene.namespaces.asked.acquire()
    idle = [await asyncio.open_connection("127.0.0.1", scene.server.port, ssl=trust) for _ in range(307)]
    ended = [asyncio.create_task(reader.read()) for reader, _ in idle]
    await asyncio.wait(ended[: 307 - 64], timeout=10)
    scene.namespaces.holding.set()
    assert 200 == (await working)[0]
    assert 200 == (await scene.post(admission.body(POD)))[0]
    assert 64 >= sum(not each.done() for each in ended) > 50
    for _, writer in idle:
        writer.transport.abort()
    await asyncio.gather(*ended, return_exceptions=True)


async def test_a_handshake_that_does_not_come_is_not_waited_for(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does it take a place for ever; a caller that begins with something else than TLS is closed at once."""
    monkeypatch.setattr(door, "_HANDSHAKE_S", 0.3)
    silent = [await asyncio.open_connection("127.0.0.1", scene.server.port) for _ in range(127)]
    spoken = await asyncio.open_connection("127.0.0.1", scene.server.port)
    spoken[1].write(b"GET / HTTP/1.1\r\n\r\n")
    async with asyncio.timeout(10):
        await asyncio.gather(*(reader.read() for reader, _ in (*silent, spoken)), return_exceptions=True)
    assert 200 == (await scene.post(admission.body(POD)))[0]
    for _, writer in (*silent, spoken):
        writer.close()


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2"])
async def test_silent_connections_take_no_place_of_those_that_speak(address: str, scene: Scene) -> None:
    """An API server's connection goes on being answered on the same socket, and another gets in."""
    assert scene.credentials.pair
    trust = ssl.create_default_context(cadata=scene.credentials.pair.authority_pem.decode())
    reader, writer = await asyncio.open_connection("127.0.0.1", scene.server.port, ssl=trust)

    async def asked() -> bytes:
        writer.write(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        await reader.readexactly(int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
        return answer[9:12]

    assert b"200" == await asked()
    silent = []
    for _ in range(300):
        silent.append(await asyncio.open_connection("127.0.0.1", scene.server.port, local_addr=(address, 0)))
        if len(silent) % 60 == 0:
            assert b"200" == await asked()
            assert 200 == (await scene.post(admission.body(POD)))[0]
    ended = [asyncio.create_task(each.read()) for each, _ in silent]
    await asyncio.sleep(0.2)
    assert 63 <= sum(not each.done() for each in ended) <= 64
    assert not any(each.done() for each in ended[-60:])
    for _, each in silent:
        each.transport.abort()
    writer.transport.abort()
    await asyncio.gather(*ended, return_exceptions=True)


async def test_handshakes_from_many_addresses_are_bounded_together(scene: Scene) -> None:
    """The oldest ends."""
    silent = [
        await asyncio.open_connection("127.0.0.1", scene.server.port, local_addr=(f"127.0.1.{1 + at % 10}", 0))
        for at in range(200)
    ]
    ended = [asyncio.create_task(each.read()) for each, _ in silent]
    assert 200 == (await scene.post(admission.body(POD)))[0]
    await asyncio.sleep(0.1)
    assert 127 == sum(not each.done() for each in ended)
    assert all(each.done() for each in ended[:73])
    for _, each in silent:
        each.transport.abort()
    await asyncio.gather(*ended, return_exceptions=True)


async def test_who_was_idle_longest_makes_room_not_who_came_first(scene: Scene) -> None:
    """A connection that is used stays."""
    assert scene.credentials.pair
    trust = ssl.create_default_context(cadata=scene.credentials.pair.authority_pem.decode())
    first, *others = [await asyncio.open_connection("127.0.0.1", scene.server.port, ssl=trust) for _ in range(64)]
    for _ in range(2):
        first[1].write(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"HTTP/1.1 200 OK\r\n" == await asyncio.wait_for(first[0].readline(), 5)
        await asyncio.sleep(0.05)
        await first[0].read(4096)
        others.append(await asyncio.open_connection("127.0.0.1", scene.server.port, ssl=trust))
    assert b"" == await asyncio.wait_for(others[0][0].read(), 5)
    for _, each in (first, *others):
        each.transport.abort()


async def test_a_body_that_never_ends_is_given_up(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sends a byte a minute holds nobody."""
    monkeypatch.setattr(server, "_READ_S", 0.05)

    async def slowly() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    async with scene.client() as session, session.post("/inject", data=slowly()) as response:
        assert 408 == response.status


async def test_a_port_that_is_taken_is_said(scene: Scene) -> None:
    """With the address."""
    other = Scene()
    with pytest.raises(errors.CannotRun, match=rf"127.0.0.1:{scene.server.port}"):
        await other.server.start("127.0.0.1", scene.server.port)
    await other.server.close()
