"""A lab with agents, in which an address changes hands while they cannot hear of it: what ``--from-cluster`` says.

The caller that may ends, a stranger has its address at once, and calls. Leaves out everything that needs no packets:
``tests/golden/comparisons``.
"""

import asyncio
import contextlib
import dataclasses
import json
import os
import pathlib
import random
from typing import Any

import pytest

from comparisons import report, results, stage
from comparisons.contenders import address
from comparisons.observed import told
from comparisons.scenarios import ip_reuse, scene
from tests.prove import _slow_api
from tests.scene import agent, clone, lab

NAME = f"fromc-{os.getpid()}"
SPACE = "shop"
PATIENCE_S = 15.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the command wrote: with both nodes' agents, and with the server's alone."""

    whole: told.Observed
    half: told.Observed
    folder: pathlib.Path
    objects: str
    """All that was there before and after, without what a server counts."""
    objects_after: str
    applied: str
    """What the API server said of the suggested policies."""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Play it once."""
    return asyncio.run(play(tmp_path_factory.mktemp("from-cluster")))


async def play(folder: pathlib.Path) -> Seen:
    async with stage.up(NAME, nodes=2) as where:
        here = lab.Lab(name=NAME, nodes=where.nodes, kubeconfig=where.kubeconfig)
        with contextlib.ExitStack() as stack:
            relay, through = stack.enter_context(_slow_api.relay(where.kubeconfig, folder, 0.0))
            deaf = dataclasses.replace(here, kubeconfig=through)
            agents = stack.enter_context(lab.agents(deaf, "--max-interval-s", "1"))
            await hand_over(where, relay, agents)
            servers = [f"unix://{agents[node].socket}" for node in where.nodes]
            before = everything(here)
            whole = compare(here, folder / "whole", servers)
            half = compare(here, folder / "half", servers[1:])
            after = everything(here)
        here.kubectl("apply", "-f", str(clone.ROOT / "deploy/crds/authorizationpolicies.yaml"))
        await asyncio.to_thread(
            here.kubectl, "wait", "--for=condition=Established", "crd/authorizationpolicies.ipseity.io", "--timeout=20s"
        )
        suggested = folder / "whole" / "suggested"
        applied = here.kubectl("apply", "--dry-run=server", "-f", str(suggested))
        return Seen(
            whole=whole, half=half, folder=folder / "whole", objects=before, objects_after=after, applied=applied
        )


async def hand_over(where: stage.Stage, relay: _slow_api.Relay, agents: dict[str, agent.Agent]) -> None:
    """Let the stranger have the address while the agents are cut off. The policy is written; nobody enforces it."""
    await where.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}})
    it = scene.Scene(where=where, contender=address.Address(), namespace=SPACE, chance=random.Random(7), parameters={})
    await ip_reuse.prepare(it)
    first = await it.call("client", "call", "--every", "11", "--seconds", "0.3", "--then", "stay")
    had = await where.addressed(SPACE, first)
    agent.wait_until(lambda: told_of(agents, "client", "client"), PATIENCE_S, "the agents have told of the caller")
    relay.cut()
    await it.dismiss(first)
    second = await it.call("intruder", "call", "--every", "11", "--seconds", "0.7", "--then", "stay")
    await it.done(second)
    relay.restore()
    assert had["status"]["podIP"] == (await where.addressed(SPACE, second))["status"]["podIP"]
    agent.wait_until(lambda: told_of(agents, "intruder", "client"), PATIENCE_S, "the agents have told of the stranger")


def told_of(agents: dict[str, agent.Agent], by_kernel: str, by_address: str) -> bool:
    """Whether the caller's node, and the server's, have told of calls by whom they take it for."""
    callers = [[flow.source for flow in each.flows() if flow.source.namespace == SPACE] for each in agents.values()]
    return all(
        any(end.service_account == name and end.evidence == evidence for end in told)
        for told, name, evidence in zip(callers, (by_kernel, by_address), ("kernel", "ip"), strict=True)
    )


def everything(here: lab.Lab) -> str:
    return here.kubectl("get", "pods,namespaces,networkpolicies,serviceaccounts,events", "-A", "-o", "json")


def compare(here: lab.Lab, folder: pathlib.Path, servers: list[str]) -> told.Observed:
    words = [str(lab.BIN / "ipseity"), "compare", "--from-cluster", "--kubeconfig", str(here.kubeconfig)]
    lab.succeed(*words, *(word for each in servers for word in ("--server", each)), "-o", str(folder))
    return results.read(folder / report.RESULTS / report.OBSERVED / "results.json", told.Observed)


def documents(found: told.Observed, kind: str) -> list[dict[str, Any]]:
    return [document for it in found.suggestions if (document := getattr(it, kind)) is not None]


def test_whom_the_address_named(seen: Seen) -> None:
    """The stranger, by the kernel; the caller that is gone, by the address."""
    found = {(it.was, it.said, it.reason) for it in seen.whole.misnamed if it.end == "source"}
    assert any(
        (was.startswith("shop/intruder"), said.startswith("shop/client"), reason) == (True, True, "stale_cache")
        for was, said, reason in found
    ), found


def test_what_the_policy_would_have_let_in(seen: Seen) -> None:
    """It admits whom the address named."""
    assert [("shop/web", 0, "8080/TCP", "ingress")] == [
        (it.policy, it.rule, it.port, it.direction) for it in seen.whole.misjudged if it.outcome == "lets_in"
    ]


def test_who_called_is_suggested_by_the_kernel_word(seen: Seen) -> None:
    """Both did call: the audit shows them to a person, with their evidence."""
    (suggestion,) = seen.whole.suggestions
    assert ["client", "intruder"] == sorted(it.account for it in suggestion.callers)
    assert all("kernel/ip" in it.evidence for it in suggestion.callers)
    assert ["AUDIT"] == [it["spec"]["action"] for it in documents(seen.whole, "identity")]


def test_what_rests_on_the_address_alone_is_refused(seen: Seen) -> None:
    """The server's node took the stranger for the caller: nothing is suggested of what it saw alone."""
    assert () == seen.half.suggestions
    said = {(it.caller.removeprefix("shop/").partition("-")[0], it.reason): it.why for it in seen.half.refused}
    assert "intruder" in said["client", "address_reuse"]


def test_the_api_server_would_take_what_is_suggested(seen: Seen) -> None:
    """Both kinds, by its own schemas."""
    assert "authorizationpolicy.ipseity.io/web-observed created" in seen.applied
    assert "networkpolicy.networking.k8s.io/web-observed created" in seen.applied


def test_nothing_was_changed(seen: Seen) -> None:
    """Not by one field."""
    before, after = json.loads(seen.objects), json.loads(seen.objects_after)
    assert [it["metadata"] for it in before["items"]] == [it["metadata"] for it in after["items"]]
