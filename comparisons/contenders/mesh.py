"""The mesh as a user installs it: the manifests of ``deploy/``, with kubectl.

Here because more than one contender is the mesh and something. In a lab images are ignored, so that commands are those
of this clone.
"""

import contextlib
import json
import pathlib
import re
from collections.abc import AsyncIterator, Mapping
from typing import Final, Literal

from comparisons import stage
from comparisons.contenders import model
from comparisons.lab import cluster
from ipseity import identity

ROOT: Final = pathlib.Path(__file__).parents[2]
DEPLOY: Final = ROOT / "deploy"
NAMESPACE: Final = "ipseity-system"
CONTROL: Final = "ipseity-control"
TRUST_DOMAIN: Final = "cluster.local"
ALPN: Final = "ipseity-http"
"""What a meshed caller offers whose bytes are HTTP (``docs/destination.md``)."""
WEBHOOKS: Final = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/ipseity"
CUT_TABLE: Final = "ipseity-comparison-away"
_IMAGE_COMMAND: Final = re.compile(r"command: \[ipseity,")


def manifests(environ: Mapping[str, str]) -> list[str]:
    """Give what is applied, in order; ``environ`` has settings of the control plane."""
    command = str(stage.BIN / "ipseity")
    found = [path.read_text() for path in sorted((DEPLOY / "crds").glob("*.yaml"))]
    settings = {"IPSEITY_PROXY_COMMAND": command, **environ}
    lines = "".join(f"\n            - {{name: {key}, value: {json.dumps(value)}}}" for key, value in settings.items())
    for path in sorted((DEPLOY / "mesh").glob("*.yaml")):
        text = _IMAGE_COMMAND.sub(f"command: [{command},", path.read_text())
        found.append(text.replace("          env:", f"          env:{lines}", 1))
    return found


async def install(where: stage.Stage, environ: Mapping[str, str] | None = None) -> None:
    """Apply it, and wait until it is ready."""
    kubectl = [str(stage.BIN / "kubectl"), f"--kubeconfig={where.kubeconfig}"]
    for text in manifests(environ or {}):
        await stage.command(*kubectl, "apply", "-f", "-", given=text)
    await stage.command(*kubectl, "rollout", "status", f"deployment/{CONTROL}", "-n", NAMESPACE, "--timeout=90s")


def loot(pod: model.Json, pem: bytes) -> model.Loot:
    """Say what a stolen key needs to be taken for the pod's: the server finds the chain of an identity by its name."""
    account = identity.ServiceAccount(pod["metadata"]["namespace"], pod["spec"]["serviceAccountName"])
    tag = identity.identity_tag(identity.SpiffeId(identity.TrustDomain(TRUST_DOMAIN), account))
    return model.Loot(pem=pem, server_name=f"{tag:016x}.ipseity", protocol=ALPN)


async def control_addresses(where: stage.Stage) -> list[str]:
    """Give the addresses at which proxies reach the control plane: its pods' and its Service's."""
    pods = await where.api.read(f"/api/v1/namespaces/{NAMESPACE}/pods") or {"items": ()}
    services = await where.api.read(f"/api/v1/namespaces/{NAMESPACE}/services") or {"items": ()}
    found = [pod["status"].get("podIP", "") for pod in pods["items"]]
    return sorted({it for it in [*found, *(each["spec"].get("clusterIP", "") for each in services["items"])] if it})


@contextlib.asynccontextmanager
async def cut_off(where: stage.Stage) -> AsyncIterator[None]:
    """Refuse, for a while, what others say to the control plane: it runs, and nobody can ask it.

    What it asks itself goes on. Else it would be deaf to the API server for 15 s afterwards: of a connection that was
    cut in the middle it learns by keep-alive.
    """
    pods = (await where.api.read(f"/api/v1/namespaces/{NAMESPACE}/pods") or {"items": ()})["items"]
    nodes = sorted({pod["spec"]["nodeName"] for pod in pods})
    addresses = ", ".join(sorted(pod["status"]["podIP"] for pod in pods))
    rules = f"""table ip {CUT_TABLE} {{
        chain cut {{
            type filter hook forward priority -10
            ip daddr {{ {addresses} }} ct direction original meta l4proto tcp reject with tcp reset
            ip saddr {{ {addresses} }} ct direction reply meta l4proto tcp reject with tcp reset
        }}
    }}"""
    for node in nodes:
        await stage.inside(where.names.node(node), "nft", "-f", "-", given=rules)
    try:
        yield
    finally:
        for node in nodes:
            with contextlib.suppress(stage.StageError):
                await stage.inside(where.names.node(node), "nft", "delete", "table", "ip", CUT_TABLE)


async def fail(where: stage.Stage, policy: Literal["Fail", "Ignore"]) -> None:
    """Say what the API server does with a pod that it cannot ask the webhook about."""
    found = await where.api.read(WEBHOOKS) or {"webhooks": ()}
    webhooks = [{**it, "failurePolicy": policy} for it in found["webhooks"]]
    await where.api.send("PATCH", WEBHOOKS, {"webhooks": webhooks}, content_type=cluster.MERGE)
