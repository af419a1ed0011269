"""The quality-of-service class of a pod, which names the cgroup that its containers are in.

After k8s.io/kubernetes/pkg/apis/core/helper/qos. Amounts are compared as written: ``1`` and ``1000m`` count as
different.
"""

from typing import Any

Value = dict[str, Any]

COUNTED = ("cpu", "memory")


def of_service(spec: Value) -> str:
    """``Guaranteed``, ``Burstable`` or ``BestEffort``."""
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    amounts = [_amounts(each) for each in containers]
    if not any(requests or limits for requests, limits in amounts):
        return "BestEffort"
    full = all(limits.keys() == set(COUNTED) and requests == limits for requests, limits in amounts)
    return "Guaranteed" if full else "Burstable"


def _amounts(container: Value) -> tuple[Value, Value]:
    resources = container.get("resources") or {}
    found = (resources.get(part) or {} for part in ("requests", "limits"))
    requests, limits = ({key: part[key] for key in COUNTED if part.get(key) not in (None, "0")} for part in found)
    return requests, limits
