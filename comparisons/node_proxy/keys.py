"""Certificates of accounts that have pods on a node: one for each account, as ztunnel keeps them, renewed at half-life.

A token of the pod's own account, bound to the pod, is asked of the API server, as the kubelet of the node may; the
mesh's certificate authority signs what it proves. Leaves out who needs one (``running``).
"""

import asyncio
import json
import pathlib
import sys
from typing import Any, Final

import structlog

from comparisons.lab import cluster
from comparisons.node_proxy import model
from ipseity import identity

AUDIENCE: Final = "identity.ipseity.io"
CONTROL_PLANE: Final = "ipseity-control.ipseity-system.svc"
TOKEN_S: Final = 3600
AGAIN_S: Final = 1.0
log = structlog.get_logger("node-proxy")


class Keys:
    """Keeps them in a directory, one below it for each account."""

    def __init__(self, api: cluster.Cluster, netns: pathlib.Path, state: pathlib.Path, address: str) -> None:
        self.top = state / "keys"
        self.trust = state / "trust.pem"
        self._api = api
        self._netns = netns
        self._address = address

    async def anchors(self, namespace: str) -> None:
        """Fetch what everybody trusts, if it is not there yet."""
        if not self.trust.exists():
            found = await self._api.read(f"/api/v1/namespaces/{namespace}/configmaps/ipseity-trust-bundle")
            if found is None:
                raise OSError(f"namespace {namespace} has no trust bundle yet")
            self.trust.write_text(found["data"]["ca.crt"])

    async def get(self, pod: model.Pod) -> float:
        """Have a certificate for a pod's account, however many attempts it takes; gives its life in seconds."""
        while True:
            try:
                await self.anchors(pod.account.namespace)
                return await self._get(pod)
            except (OSError, ValueError, KeyError) as error:
                log.warning("no certificate", account=str(pod.account), error=str(error))
            await asyncio.sleep(AGAIN_S)

    async def _get(self, pod: model.Pod) -> float:
        folder = self.top / model.folder(pod.account)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        token = folder / "token"
        token.write_text(await self._token(pod.account, pod))
        task = {
            "task": "issue",
            "spiffe_id": pod.spiffe_id,
            "control_plane": CONTROL_PLANE,
            "address": self._address,
            "token": str(token),
            "trust": str(self.trust),
            "directory": str(folder),
        }
        words = ["nsenter", f"--net={self._netns}", sys.executable, "-m", "injector.sidecar.certify", json.dumps(task)]
        process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
        said, _ = await process.communicate()
        told: dict[str, Any] = json.loads(said or b"{}")
        if process.returncode != 0:
            raise ValueError(str(told.get("message", f"certify ended with {process.returncode}")))
        return float(told["left_s"])

    async def _token(self, account: identity.ServiceAccount, pod: model.Pod) -> str:
        bound = {"apiVersion": "v1", "kind": "Pod", "name": pod.name, "uid": pod.uid}
        spec = {"audiences": [AUDIENCE], "expirationSeconds": TOKEN_S, "boundObjectRef": bound}
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        path = f"/api/v1/namespaces/{account.namespace}/serviceaccounts/{account.name}/token"
        answer = await self._api.send("POST", path, body)
        return str(answer["status"]["token"])
