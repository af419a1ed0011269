"""The child process that gets one certificate, against a control plane on loopback. Leaves out when it runs."""

# ruff: noqa: ASYNC240  # small files on this machine; nothing else runs meanwhile

import asyncio
import json
import pathlib
import socket
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from injector.sidecar import certify, files
from tests.fakes import authority, control_plane

US = "spiffe://cluster.local/ns/default/sa/web"


@pytest.fixture
def task(tmp_path: pathlib.Path) -> dict[str, str]:
    """Be a pod that has a token, a bundle, and a volume."""
    (tmp_path / "token").write_text("token-23\n")
    (tmp_path / "volume").mkdir()
    return {
        "task": "issue",
        "spiffe_id": US,
        "control_plane": authority.CONTROL_PLANE,
        "address": f"127.0.0.1:{free_port()}",
        "token": str(tmp_path / "token"),
        "trust": str(tmp_path / "ca.crt"),
        "directory": str(tmp_path / "volume"),
    }


@pytest.fixture
async def plane(task: dict[str, str]) -> AsyncIterator[control_plane.ControlPlane]:
    made = control_plane.ControlPlane(authority=authority.make(), spiffe_id=US)
    pathlib.Path(task["trust"]).write_bytes(made.authority.bundle)
    identity_port = int(task["address"].rpartition(":")[2])
    async with control_plane.serving(made, "127.0.0.1", identity_port=identity_port, discovery_port=free_port()):
        yield made


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


async def run(given: dict[str, str], **other: str) -> tuple[int, dict[str, Any]]:
    words = [sys.executable, "-P", "-m", "injector.sidecar.certify", json.dumps({**given, **other})]
    piped = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*words, stdout=piped, stderr=piped)
    output, complaints = await process.communicate()
    assert b"Traceback" not in complaints, complaints.decode()
    assert process.returncode is not None
    return process.returncode, json.loads(output)


async def test_a_certificate_is_asked_for_checked_and_published(
    task: dict[str, str], plane: control_plane.ControlPlane
) -> None:
    """The request names nobody and says which anchors are trusted; the pair that is published belongs together."""
    code, told = await run(task)
    assert (0, "issued", US) == (code, told["outcome"], told["spiffe_id"])
    assert 3590 < told["left_s"] <= 3600
    request = plane.requests[0]
    asked = x509.load_der_x509_csr(request.csr_der)
    assert ("token-23", 0, 0) == (request.token, len(asked.extensions), len(list(asked.subject)))
    assert [plane.authority.anchor.fingerprint(hashes.SHA256())] == list(request.trusted_sha256)
    pair = files.identity(task["directory"])
    assert pair
    key = serialization.load_pem_private_key(pathlib.Path(pair.key).read_bytes(), None)
    chain = x509.load_pem_x509_certificates(pathlib.Path(pair.chain).read_bytes())
    assert key.public_key() == chain[0].public_key() == asked.public_key()
    assert f"{chain[0].serial_number:x}" == told["serial"]


async def test_each_run_makes_a_key_of_its_own(task: dict[str, str], plane: control_plane.ControlPlane) -> None:
    """A key that leaks is worth one certificate's life."""
    await run(task)
    await run(task)
    asked = [x509.load_der_x509_csr(request.csr_der).public_key() for request in plane.requests]
    assert 2 == len(asked)
    assert asked[0] != asked[1]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (grpc.StatusCode.PERMISSION_DENIED, certify.REFUSED),
        (grpc.StatusCode.UNAUTHENTICATED, certify.REFUSED),
        (grpc.StatusCode.INVALID_ARGUMENT, certify.REFUSED),
        (grpc.StatusCode.UNAVAILABLE, certify.UNAVAILABLE),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, certify.UNAVAILABLE),
        (grpc.StatusCode.INTERNAL, certify.UNAVAILABLE),
    ],
)
async def test_a_refusal_and_an_outage_are_told_apart(
    task: dict[str, str], plane: control_plane.ControlPlane, status: grpc.StatusCode, code: int
) -> None:
    """By the exit code, with the control plane's words, bounded and on one line."""
    plane.refusal = (status, "because\nof " + "x" * 1000)
    found, told = await run(task)
    assert (code, "failed") == (found, told["outcome"])
    assert "because of xxx" in told["message"]
    assert len(told["message"]) < 700
    assert [] == list(pathlib.Path(task["directory"]).iterdir())


async def test_a_control_plane_that_cannot_prove_itself_gets_no_token(
    task: dict[str, str], plane: control_plane.ControlPlane
) -> None:
    """Below another anchor, or with another name: the handshake fails, so the token is never sent."""
    pathlib.Path(task["trust"]).write_bytes(authority.make("other").bundle)
    assert certify.UNAVAILABLE == (await run(task))[0]
    pathlib.Path(task["trust"]).write_bytes(plane.authority.bundle)
    assert certify.UNAVAILABLE == (await run(task, control_plane="other.ipseity-system.svc"))[0]
    assert [] == plane.requests


async def test_an_answer_that_does_not_fit_is_refused(task: dict[str, str], plane: control_plane.ControlPlane) -> None:
    """Another key, another name: said as such, and nothing is published."""
    plane.wrong_key = True
    assert (3, "unusable") == ((told := await run(task))[0], told[1]["reason"])
    plane.wrong_key, plane.spiffe_id = False, US + "x"
    assert (3, "unusable") == ((told := await run(task))[0], told[1]["reason"])
    assert [] == list(pathlib.Path(task["directory"]).iterdir())


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("token", None, "token"),
        ("token", b" \n", "token"),
        ("token", b"x" * 20_000, "token"),
        ("trust", None, "trust bundle"),
        ("trust", b"", "trust bundle"),
        ("trust", b"no certificate", "trust"),
        ("directory", None, "volume"),
    ],
)
async def test_what_is_broken_in_the_pod_is_named(
    task: dict[str, str], plane: control_plane.ControlPlane, name: str, content: bytes | None, reason: str
) -> None:
    """Missing, empty, too long, not what it should be."""
    path = pathlib.Path(task[name])
    if path.is_dir():
        path.rmdir()
    elif content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    code, told = await run(task)
    assert (certify.BROKEN, reason) == (code, told["reason"])
    assert task[name] in told["message"]


async def test_nobody_there_is_an_outage(task: dict[str, str]) -> None:
    """Said with the address."""
    pathlib.Path(task["trust"]).write_bytes(authority.make().bundle)
    code, told = await run(task)
    assert (certify.UNAVAILABLE, True) == (code, task["address"] in told["message"])


async def test_what_is_there_already_is_adopted_if_it_fits(
    task: dict[str, str], plane: control_plane.ControlPlane
) -> None:
    """Without asking anybody; with its age, so that it is renewed in time."""
    assert (certify.BROKEN, "none") == ((told := await run(task, task="adopt"))[0], told[1]["reason"])
    await run(task)
    code, told_now = await run(task, task="adopt")
    assert (0, "adopted") == (code, told_now["outcome"])
    assert 20 <= told_now["age_s"] < 40
    assert certify.REFUSED == (await run(task, task="adopt", spiffe_id=US + "x"))[0]
    pair = files.identity(task["directory"])
    assert pair
    pathlib.Path(pair.key).write_text("no key")
    assert (certify.BROKEN, "unreadable") == ((told := await run(task, task="adopt"))[0], told[1]["reason"])
    assert 1 == len(plane.requests)
