"""The control plane as a process before an API server: ready, asked for a certificate, told to end, started again.

Leaves out proxies and pods: tests/functional/injector.
"""

import asyncio
import contextlib
import http.client
import json
import os
import pathlib
import random
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import grpc
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from injector import names
from injector.kube import leases, rest
from injector.proto import identity_pb2, identity_pb2_grpc
from ipseity import kube
from tests.bench import costs
from tests.contract.kubernetes_api import own
from tests.scene import agent, clone

READY_S = 30.0
ENDS_S = 10.0
GREW_BYTES = 80_000_000
SYSTEM = f"/api/v1/namespaces/{names.SYSTEM_NAMESPACE}"


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pathlib.Path]:
    with own.served(tmp_path_factory.mktemp("api")) as found:
        yield found


def free_port() -> int:
    """Find a port below those that connections get: one of them may be taken again at once."""
    for port in random.sample(range(20_000, 30_000), 100):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise RuntimeError("no port is free")


class Plane:
    """One process."""

    def __init__(self, kubeconfig: pathlib.Path, folder: pathlib.Path) -> None:
        self.ports = {name: free_port() for name in ("webhook", "identity", "discovery", "health")}
        self.log = folder / "control-plane.log"
        flags = [word for name, port in self.ports.items() for word in (f"--{name}-port", str(port))]
        flags += [
            "--kubeconfig",
            str(kubeconfig),
            "--listen",
            "127.0.0.1",
            "--pod-name",
            "control-0",
            "--linger-s",
            "0",
        ]
        flags += ["--issuance-log", str(folder / "issued.jsonl")]
        command = [str(pathlib.Path(sys.executable).with_name("ipseity")), "control-plane", "run", *flags]
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(command, cwd=clone.ROOT, stdout=output, stderr=output)

    def get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.ports["health"], timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def ready(self) -> bool:
        if self.process.poll() is not None:
            pytest.fail(f"the control plane ended:\n{self.log.read_text()[-4000:]}")
        with contextlib.suppress(OSError):
            return self.get("/readyz")[0] == http.client.OK
        return False

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(ENDS_S)


@contextlib.contextmanager
def running(kubeconfig: pathlib.Path, folder: pathlib.Path) -> Iterator[Plane]:
    plane = Plane(kubeconfig, folder)
    try:
        agent.wait_until(plane.ready, READY_S, "the control plane is ready")
        yield plane
    finally:
        if plane.process.poll() is None:
            plane.process.kill()
            plane.process.wait()


async def ask(kubeconfig: pathlib.Path, path: str) -> rest.Json:
    async with await kube.connect(str(kubeconfig)) as api:
        return await rest.get(api, path) or {}


async def install(kubeconfig: pathlib.Path) -> None:
    """Make what is there before the control plane: its namespace, and the kind of policies."""
    async with await kube.connect(str(kubeconfig)) as api:
        await rest.create(api, "/api/v1/namespaces", {"metadata": {"name": names.SYSTEM_NAMESPACE}})
    await define(kubeconfig, "authorizationpolicies.yaml")


async def define(kubeconfig: pathlib.Path, pattern: str) -> None:
    """Make kinds of the definitions that are delivered."""
    async with await kube.connect(str(kubeconfig)) as api:
        for path in sorted((clone.ROOT / "deploy/crds").glob(pattern)):
            definition = yaml.safe_load(path.read_text())
            await rest.create(api, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)


@pytest.fixture(scope="module")
def system(kubeconfig: pathlib.Path) -> pathlib.Path:
    """Give a cluster that is ready for the mesh."""
    asyncio.run(install(kubeconfig))
    return kubeconfig


def test_it_comes_up_ends_in_order_and_goes_on_with_the_same_authorities(
    system: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """The second process signs with what the first one made, and trusts its log."""
    with running(system, tmp_path) as plane:
        made = asyncio.run(ask(system, f"{SYSTEM}/secrets/ipseity-issuer"))["data"]["tls.crt"]
        status, text = plane.get("/metrics")
        assert (200, True) == (status, "ipseity_identity_issuer_expiry_timestamp_seconds" in text)
        assert 0 == plane.end()
    assert "Traceback" not in plane.log.read_text()
    with running(system, tmp_path) as plane:
        assert made == asyncio.run(ask(system, f"{SYSTEM}/secrets/ipseity-issuer"))["data"]["tls.crt"]
        assert 0 == plane.end()


def test_it_survives_a_kill_and_says_what_the_log_lost(system: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Half a line at the end of the issuance log, after a kill: cut off, and the next leaf goes behind the last."""
    with running(system, tmp_path) as plane:
        plane.process.send_signal(signal.SIGKILL)
        plane.process.wait(ENDS_S)
    log = tmp_path / "issued.jsonl"
    whole = log.read_bytes()
    log.write_bytes(whole + b'{"time_s": 17')
    with running(system, tmp_path) as plane:
        assert 0 == plane.end()
    assert log.read_bytes().startswith(whole)
    assert all(json.loads(line) for line in log.read_bytes().splitlines())


def test_of_two_one_decides_and_the_other_goes_on_when_it_ends(system: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Both are ready; the Lease is given back, so that nobody waits until it has ended."""
    folders = [tmp_path / name for name in ("one", "other")]
    for each in folders:
        each.mkdir()
    with running(system, folders[0]) as one, running(system, folders[1]) as other:
        agent.wait_until(lambda: leads(one) + leads(other) == 1, READY_S, "one leads")
        ends, goes_on = (one, other) if leads(one) else (other, one)
        started_s = time.monotonic()
        assert 0 == ends.end()
        agent.wait_until(lambda: leads(goes_on), READY_S, "the other leads")
        assert time.monotonic() - started_s < leases.Timing().lease_s
        assert '"lease given back"' in ends.log.read_text()
        assert 0 == goes_on.end()


def leads(plane: Plane) -> bool:
    return "\nipseity_control_leads 1.0\n" in plane.get("/metrics")[1]


def test_a_token_that_proves_nothing_gets_no_certificate(system: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Over the real wire: the API server does not know it, and the answer says so without a traceback."""
    with running(system, tmp_path) as plane:
        bundle = asyncio.run(ask(system, f"{SYSTEM}/configmaps/{names.TRUST_BUNDLE}"))["data"][names.TRUST_KEY]
        with pytest.raises(grpc.RpcError) as refused:
            certify(plane, bundle.encode(), token="a.b.c")
        assert grpc.StatusCode.UNAUTHENTICATED is refused.value.code()
    assert "Traceback" not in plane.log.read_text()


def test_whoever_only_connects_is_gone_soon_and_keeps_nobody_out(system: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """307 silent connections to each port: memory is bounded, who asks is answered, handshakes are not waited for."""
    with running(system, tmp_path) as plane, contextlib.ExitStack() as held, selectors.DefaultSelector() as silent:
        bundle = asyncio.run(ask(system, f"{SYSTEM}/configmaps/{names.TRUST_BUNDLE}"))["data"][names.TRUST_KEY]
        before = costs.resident_bytes(plane.process.pid)
        for name, port in plane.ports.items():
            for _ in range(307):
                connection = held.enter_context(socket.create_connection(("127.0.0.1", port)))
                if name != "health":  # over plain HTTP there is no handshake: the oldest make room
                    silent.register(connection, selectors.EVENT_READ)
        assert 200 == plane.get("/readyz")[0]
        with pytest.raises(grpc.RpcError) as refused:
            certify(plane, bundle.encode(), token="a.b.c")
        assert grpc.StatusCode.UNAUTHENTICATED is refused.value.code()
        assert costs.resident_bytes(plane.process.pid) - before < GREW_BYTES
        ended = 0
        while ended < 3 * 307 and (ready := silent.select(timeout=ENDS_S)):
            for key, _ in ready:
                silent.unregister(key.fileobj)
                ended += 1
        assert 3 * 307 == ended
    assert "Traceback" not in plane.log.read_text()


def certify(plane: Plane, bundle: bytes, *, token: str) -> identity_pb2.CertifyResponse:
    """Ask for a certificate as a sidecar does."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    host = f"{names.CONTROL_PLANE}.{names.SYSTEM_NAMESPACE}.svc"
    credentials = grpc.ssl_channel_credentials(root_certificates=bundle)
    options = [("grpc.ssl_target_name_override", host)]
    address = f"127.0.0.1:{plane.ports['identity']}"
    with grpc.secure_channel(address, credentials, options) as channel:
        csr_der = request.public_bytes(serialization.Encoding.DER)
        asked = identity_pb2.CertifyRequest(csr_der=csr_der, token=token)
        return identity_pb2_grpc.IdentityStub(channel).Certify(asked, timeout=10)


def test_it_says_what_it_cannot_use(system: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """A trust domain that is none: exit status 2, the value, and where to put it right."""
    command = [str(pathlib.Path(sys.executable).with_name("ipseity")), "control-plane", "run"]
    flags = ["--kubeconfig", str(system), "--pod-name", "x", "--trust-domain", "Not A Domain"]
    done = subprocess.run([*command, *flags], cwd=tmp_path, env=os.environ, capture_output=True, text=True, check=False)
    assert (2, True) == (done.returncode, "'Not A Domain'" in done.stderr)
    assert "hint: " in done.stderr


def test_a_port_that_is_taken_is_said_in_one_line(system: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Exit status 2, which port, and no traceback: also where other parts run already."""
    plane = Plane(system, tmp_path)
    with socket.create_server(("127.0.0.1", plane.ports["webhook"])):
        assert 2 == plane.process.wait(READY_S)
    said = plane.log.read_text()
    assert f"cannot serve the webhook on 127.0.0.1:{plane.ports['webhook']}" in said
    assert "hint: who else has the port?" in said
    assert "Traceback" not in said
