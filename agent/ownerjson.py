"""The history of an address, as the API tells it.

Here, apart from the format (``flowjson``), because only ``app`` has a history to turn into one. Leaves out who owned
what (``ownership``).
"""

from collections.abc import Callable, Sequence
from typing import assert_never

from agent import flowjson, model, ownership, walltime


def answer(
    address: model.IpAddress,
    history: Sequence[ownership.Held],
    *,
    at_wall_ns: int,
    node_name: str,
    wall_of: Callable[[int], int],
) -> flowjson.Owners:
    """Tell a history; ``wall_of`` turns boot time into wall time."""

    def time(boot_ns: int | None) -> str:
        return walltime.text(wall_of(boot_ns)) if boot_ns else ""

    owners = tuple(_owner(held, time) for held in history)
    return flowjson.Owners(address=str(address), time=walltime.text(at_wall_ns), node_name=node_name, owners=owners)


def _owner(held: ownership.Held, time: Callable[[int | None], str]) -> flowjson.Owner:
    thing = held.owner
    kind, workloads, account = _who(thing)
    return flowjson.Owner(
        kind=kind,
        evidence=model.Evidence.KERNEL if held.proven_from_ns is not None else model.Evidence.IP,
        start_time=time(held.from_ns),
        end_time=time(held.until_ns),
        proven_start_time=time(held.proven_from_ns),
        proven_end_time=time(held.proven_until_ns),
        namespace="" if isinstance(thing, model.Node) else thing.namespace,
        name=thing.name,
        workloads=workloads,
        service_account=account,
        uid=thing.uid,
    )


def _who(thing: model.Pod | model.Service | model.Node) -> tuple[model.Kind, tuple[flowjson.Workload, ...], str]:
    match thing:
        case model.Pod():
            workloads = (flowjson.Workload(name=thing.workload, kind=thing.workload_kind),) if thing.workload else ()
            return model.Kind.POD, workloads, thing.service_account
        case model.Service():
            return model.Kind.SERVICE, (), ""
        case model.Node():
            return model.Kind.NODE, (), ""
        case _:
            assert_never(thing)
