"""A PodDisruptionBudget is kept and shown. Leaves out evictions, which the lab refuses to nobody."""

import json

from tests.contract.kubernetes_api import cluster
from tests.contract.kubernetes_api import kubectl as kubectl_program

SPEC = {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "web"}}, "unhealthyPodEvictionPolicy": "AlwaysAllow"}


async def test_kubectl(kubectl: kubectl_program.Kubectl, namespace: str) -> None:
    """Apply, look by the short name, change, delete."""
    budget = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web"}}
    manifest = json.dumps({**budget, "spec": SPEC})
    assert "poddisruptionbudget.policy/web created\n" == await kubectl("apply", "-f", "-", stdin=manifest)
    # Its selector is replaced whole (patchStrategy), so kubectl always sends a patch, in which nothing is new.
    assert "poddisruptionbudget.policy/web configured\n" == await kubectl("apply", "-f", "-", stdin=manifest)
    assert "1" == await kubectl("get", "pdb", "web", "-o", "jsonpath={.metadata.generation}")
    assert ["web", "N/A", "1", "0"] == (await kubectl("get", "pdb")).splitlines()[1].split()[:4]
    await kubectl("patch", "pdb", "web", "-p", '{"spec": {"maxUnavailable": "50%"}}')
    assert "2" == await kubectl("get", "pdb", "web", "-o", "jsonpath={.metadata.generation}")
    assert "deleted" in await kubectl("delete", "pdb", "web")


async def test_both_bounds_are_refused(api: cluster.Cluster, namespace: str) -> None:
    body = {"metadata": {"name": "web"}, "spec": {**SPEC, "minAvailable": 1}}
    answer = await api.call("POST", f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets", body)
    assert "minAvailable and maxUnavailable cannot be both set" in answer.refused(422, "Invalid")["message"]
