"""What the real server's own admission plugins add to a new pod, before and again after webhooks see it.

Rules: plugin/pkg/admission/serviceaccount and priority in k8s.io/kubernetes. Apart from ``defaulting`` because nobody
owns these fields, as on the real server, and because containers that a webhook adds get theirs, too. Harmless twice.
Leaves out DefaultTolerationSeconds: the lab evicts nobody from a node.
"""

from typing import Any

from comparisons.lab.api import access, kinds, status, store

Value = dict[str, Any]

PRIORITIES = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}
"""The classes that every cluster has (pkg/apis/scheduling); others are names here, where a real server refuses them."""


def fill(objects: store.Store, kind: kinds.Kind, namespace: str, value: Value) -> None:
    """Complete a new object in place; raises Refused (403) if a pod's service account is missing."""
    if kind is not kinds.POD:
        return
    value["spec"].setdefault("priority", PRIORITIES.get(value["spec"].get("priorityClassName", ""), 0))
    value["spec"].setdefault("preemptionPolicy", "PreemptLowerPriority")
    name = access.account_of(value)
    account = objects.get(kinds.SERVICE_ACCOUNT, (namespace, name))
    if account is None:
        why = f'error looking up service account {namespace}/{name}: serviceaccount "{name}" not found'
        raise status.forbidden("", "pods", value["metadata"].get("name", ""), why)
    access.give(value, account)
