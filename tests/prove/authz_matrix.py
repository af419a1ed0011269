"""Who may call whom: 4 identities x 4 workloads x 3 modes by real connections equal what ``match`` computes.

Workloads differ in their policies (none, one identity, a namespace, nobody), identities in who they are (two meshed
accounts, one of another namespace, and plaintext). For each mode every identity calls HTTP and bytes of every
workload; the verdict of each call is compared with the one that ``injector.policy.match`` gives.
"""

import itertools
import json
from typing import Any

from injector import annotations
from injector.cluster import model
from injector.policy import match
from injector.policy import model as policies
from ipseity import identity
from tests.prove import verdict
from tests.scene import mesh

TRUST_DOMAIN = identity.TrustDomain("cluster.local")
MODES = ("permissive", "strict", "audit")
CALLERS = (("shop", "anna"), ("shop", "bert"), ("cafe", "carl"), ("shop", "plain"))
"""``plain`` is not injected: it has no identity."""
SOURCES: dict[str, list[dict[str, Any]] | None] = {
    "open": None,
    "one": mesh.accounts("shop", "anna"),
    "space": [{"type": "Namespace", "namespace": "cafe"}],
    "closed": [],
}
"""Workload -> sources of its policy; None: no policy."""
SETTLED_S = 20.0


def prove() -> verdict.Verdict:
    """Measure it."""
    lines: list[str] = []
    equal = total = 0
    with mesh.up("authz") as where:
        where.apply(mesh.namespace("shop") + mesh.namespace("cafe") + "\n---\n".join(everybody("permissive")))
        for mode in MODES:
            where.apply("\n---\n".join(everybody(mode)))
            for name in SOURCES:
                where.ready("shop", name)
            for namespace, name in CALLERS:
                where.ready(namespace, name)
            where.apply("\n---\n".join(policy(name) for name in SOURCES if SOURCES[name] is not None))
            mesh.wait_until(lambda mode=mode: settled(where, mode), SETTLED_S, "policies are in force")
            for (namespace, caller), target in itertools.product(CALLERS, SOURCES):
                found = where.call(namespace, where.pod(namespace, caller), "every", f"{target}.shop")
                expected = computed(mode, namespace, caller, target)
                got = {"http1": allowed(found["http1"]), "opaque": found["opaque"].get("same") is True}
                same = all(value is expected for value in got.values())
                equal, total = equal + same, total + 1
                if not same:
                    lines.append(f"{mode} {namespace}/{caller} -> {target}: expected {expected}, got {got} {found}")
    return verdict.Verdict(
        holds=equal == total == 48, figure=f"{equal} of {total} verdicts as computed", lines=tuple(lines)
    )


def everybody(mode: str) -> list[str]:
    """Write all workloads, with this mode."""
    said = {"config.ipseity.io/inbound-policy": mode}
    targets = [mesh.server("shop", name, annotations=said) for name in SOURCES]
    return [*targets, *(mesh.server(namespace, name, inject=name != "plain") for namespace, name in CALLERS)]


def policy(name: str) -> str:
    """Write the policy of a workload."""
    return json.dumps(mesh.policy("shop", name, SOURCES[name] or []))


def computed(mode: str, namespace: str, caller: str, target: str) -> bool:
    """Ask ``match``."""
    pod = model.Pod(
        ref=identity.PodRef("shop", target, "uid"),
        account=identity.ServiceAccount("shop", target),
        labels={"app": target},
        addresses=("10.0.0.1",),
        meshed=True,
        inbound=annotations.InboundMode(mode),
    )
    said = SOURCES[target]
    known = [] if said is None else [policies.parse(mesh.policy("shop", target, said), TRUST_DOMAIN)]
    who = None if caller == "plain" else identity.SpiffeId(TRUST_DOMAIN, identity.ServiceAccount(namespace, caller))
    return match.inbound(known, pod, 8080).verdict(who).allowed


def allowed(found: dict[str, Any]) -> bool:
    """Tell whether HTTP was answered by the application."""
    return found.get("status") == 200


def settled(where: mesh.Mesh, mode: str) -> bool:
    """Tell whether the proxies act on the mode and the policies: where the verdict of a known pair is the new one."""
    found = where.call("shop", where.pod("shop", "bert"), "every", "closed.shop")
    return allowed(found["http1"]) is computed(mode, "shop", "bert", "closed")
