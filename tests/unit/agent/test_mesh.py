"""agent/mesh: what is said of every pair of pods, and where nothing is.

Leaves out how a pod's part in the mesh is learned (test_pods.py) and that it is true of real pods
(tests/functional/injector/test_seen.py).
"""

import dataclasses
from typing import Any

import pytest

from agent import mesh, model
from tests.fakes import flows

MTLS, NONE, UNKNOWN = mesh.Tls.MTLS, mesh.Tls.NONE, mesh.Tls.UNKNOWN
EGRESS, INGRESS = model.Direction.EGRESS, model.Direction.INGRESS
CONTAINERS = (("c0ffee", "app"), ("beef", mesh.PROXY))


def meshed(skip_inbound: str = "", skip_outbound: str = "") -> model.Mesh:
    return model.Mesh(containers=CONTAINERS, skip_inbound=skip_inbound, skip_outbound=skip_outbound)


def end(container: str = "", part: model.Mesh | None = None, *, remote: bool = False, **said: Any) -> model.End:
    who = flows.WEB if remote else flows.CLIENT
    return dataclasses.replace(who, container_id=container, mesh=part, **said)


PROXY, APPLICATION = end("beef", meshed()), end("c0ffee", meshed())
BARE, THEIRS, THEIRS_BARE = end("c0ffee"), end(part=meshed(), remote=True), end(remote=True)


@pytest.mark.parametrize(
    ("expected", "local", "remote", "direction", "port"),
    [
        # A proxy speaks to what another proxy answers for.
        (MTLS, PROXY, THEIRS, EGRESS, 8080),
        (NONE, PROXY, end(part=meshed("25,4000-4010"), remote=True), EGRESS, 4010),
        (MTLS, PROXY, end(part=meshed("25,4000-4010"), remote=True), EGRESS, 4011),
        (UNKNOWN, PROXY, end(part=meshed("nonsense"), remote=True), EGRESS, 8080),
        (NONE, PROXY, THEIRS_BARE, EGRESS, 8080),
        # A proxy is spoken to: which port was meant cannot be seen any more.
        (MTLS, PROXY, THEIRS, INGRESS, mesh.INBOUND_PORT),
        (UNKNOWN, PROXY, end(part=meshed("", "8080"), remote=True), INGRESS, mesh.INBOUND_PORT),
        (UNKNOWN, PROXY, THEIRS, INGRESS, 8080),
        (NONE, PROXY, THEIRS_BARE, INGRESS, mesh.INBOUND_PORT),
        # An application speaks to its own proxy, and to others only past it.
        (UNKNOWN, APPLICATION, THEIRS, EGRESS, 8080),
        (UNKNOWN, APPLICATION, THEIRS_BARE, EGRESS, 8080),
        (NONE, end("c0ffee", meshed("", "8080")), THEIRS, EGRESS, 8080),
        (NONE, end("c0ffee", meshed("", "8080")), THEIRS_BARE, EGRESS, 8080),
        (NONE, end("c0ffee", meshed("8080")), THEIRS, INGRESS, 8080),
        (UNKNOWN, end("c0ffee", meshed("", "8080")), THEIRS, INGRESS, 8080),
        # Who has no proxy proves nothing.
        (NONE, BARE, THEIRS, EGRESS, 8080),
        (NONE, BARE, THEIRS, INGRESS, 8080),
        (UNKNOWN, BARE, THEIRS_BARE, EGRESS, 8080),
        # A container that the API has not told of may be the proxy or not.
        (UNKNOWN, end("new", meshed()), THEIRS, EGRESS, 8080),
        (UNKNOWN, end("new", meshed("", "8080")), THEIRS, EGRESS, 8080),
        (UNKNOWN, end("new", meshed()), THEIRS_BARE, EGRESS, 8080),
        # What the mesh says to itself is between no workloads.
        (UNKNOWN, PROXY, end(remote=True, namespace=mesh.SYSTEM_NAMESPACE), EGRESS, 8444),
        (UNKNOWN, PROXY, THEIRS, EGRESS, mesh.STATUS_PORT),
        # Nor is what stays in the pod, or goes to somebody who is no pod, or is not known.
        (UNKNOWN, PROXY, end("c0ffee", meshed()), EGRESS, 8080),
        (UNKNOWN, PROXY, flows.OUTSIDE, EGRESS, 443),
        (UNKNOWN, PROXY, end(remote=True, reason=model.Reason.POD_NOT_IN_API), EGRESS, 8080),
    ],
)
def test_what_secures_a_flow(
    expected: mesh.Tls, local: model.End, remote: model.End, direction: model.Direction, port: int
) -> None:
    """One row for each thing that an end can be."""
    assert expected is mesh.tls(flows.edge(local=local, remote=remote, direction=direction, port=port))


def test_datagrams_pass_by_the_mesh() -> None:
    """Nothing is said of UDP: no proxy sees it."""
    assert UNKNOWN is mesh.tls(flows.edge(local=PROXY, remote=THEIRS, protocol=model.Protocol.UDP))
