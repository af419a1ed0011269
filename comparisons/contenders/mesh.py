"""The mesh as a user installs it: the manifests of ``deploy/``, with kubectl.

Here because more than one contender is the mesh and something. In a lab images are ignored, so that commands are those
of this clone.
"""

import json
import pathlib
import re
from collections.abc import Mapping
from typing import Final

from comparisons import stage

ROOT: Final = pathlib.Path(__file__).parents[2]
DEPLOY: Final = ROOT / "deploy"
NAMESPACE: Final = "ipseity-system"
CONTROL: Final = "ipseity-control"
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


async def control_addresses(where: stage.Stage) -> list[str]:
    """Give the addresses at which proxies reach the control plane: its pods' and its Service's."""
    pods = await where.api.read(f"/api/v1/namespaces/{NAMESPACE}/pods") or {"items": ()}
    services = await where.api.read(f"/api/v1/namespaces/{NAMESPACE}/services") or {"items": ()}
    found = [pod["status"].get("podIP", "") for pod in pods["items"]]
    return sorted({it for it in [*found, *(each["spec"].get("clusterIP", "") for each in services["items"])] if it})
