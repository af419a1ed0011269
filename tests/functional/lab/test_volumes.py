"""What programs see of their volumes while they run. Leaves out which files there are: the unit tests have that."""

import asyncio
import time
from typing import Any

from comparisons.lab import cluster, lab
from ipseity import kube
from tests.functional.lab import conftest

FOLLOW = "while :; do cat /seen/*; echo; sleep 0.05; done"
SEEN = {"volumeMounts": [{"name": "seen", "mountPath": "/seen"}]}


async def says(api: conftest.Api, name: str, words: str) -> None:
    """Wait until a pod's log has these words."""
    end_s = time.monotonic() + 5
    while words not in await api.log(name, tailLines="7"):
        assert time.monotonic() < end_s, await api.log(name, tailLines="7")
        await asyncio.sleep(0.02)


async def change(state: lab.State, path: str, body: dict[str, Any]) -> None:
    """Merge a change into an object of the default namespace."""
    it = cluster.Cluster(await kube.connect(str(state.names.kubeconfig)), "test")
    try:
        await it.send("PATCH", f"/api/v1/namespaces/default/{path}", body, content_type=cluster.MERGE)
    finally:
        await it.close()


async def test_files_follow_their_sources(api: conftest.Api, state: lab.State) -> None:
    """ConfigMap, Secret and the pod's own labels, all in one volume, within seconds."""
    await api.create(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": "m1"}}, "configmaps"
    )
    await api.create(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"b": "s1"}}, "secrets"
    )
    item = {"path": "c", "fieldRef": {"fieldPath": "metadata.labels['seven']"}}
    sources = [{"configMap": {"name": "m"}}, {"secret": {"name": "s"}}, {"downwardAPI": {"items": [item]}}]
    await api.pod(
        "follows", "sh", "-c", FOLLOW, container=SEEN, volumes=[{"name": "seen", "projected": {"sources": sources}}]
    )
    await api.phase("follows", "Running")
    await says(api, "follows", "m1s1\n")
    await change(state, "configmaps/m", {"data": {"a": "m2"}})
    await says(api, "follows", "m2s1\n")
    await change(state, "secrets/s", {"stringData": {"b": "s2"}})
    await says(api, "follows", "m2s2\n")
    await change(state, "pods/follows", {"metadata": {"labels": {"seven": "l7"}}})
    await says(api, "follows", "m2s2l7\n")


MEMORY = """
awk '$2 == "/mem" {print $3}' /proc/mounts
df -B1 --output=size /mem | tail -1
touch /mem/x /disk/x
stat -c %a /mem /disk
"""


async def test_empty_directories(api: conftest.Api) -> None:
    """In memory with a limit, and on disk: anybody may write."""
    volumes = [
        {"name": "mem", "emptyDir": {"medium": "Memory", "sizeLimit": "7Mi"}},
        {"name": "disk", "emptyDir": {}},
    ]
    container = {
        "volumeMounts": [{"name": "mem", "mountPath": "/mem"}, {"name": "disk", "mountPath": "/disk"}],
        "securityContext": {"runAsUser": 1234, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}},
    }
    await api.pod("writes", "sh", "-c", MEMORY, restartPolicy="Never", container=container, volumes=volumes)
    await api.phase("writes", "Succeeded")
    assert ["tmpfs", str(7 * 2**20), "777", "777"] == (await api.log("writes")).split()
