"""Random histories of a cluster: the index that followed each change equals one that saw only the end.

Leaves out what a state is made into (``test_snapshots``).
"""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from injector.cluster import index, model, objects
from ipseity import identity
from tests import examples
from tests.fakes import cluster_objects

TRUST_DOMAIN = identity.TrustDomain("cluster.local")
_NAMES = st.integers(0, 4)
_ADDRESSES = st.integers(1, 6).map(lambda number: f"10.0.0.{number}")
_ANNOTATIONS = st.sampled_from([{}, {"config.ipseity.io/inbound-policy": "strict"}])
_SPECS = st.sampled_from([{}, cluster_objects.skipping("8080")])
_pods = st.builds(
    lambda number, address, meshed, said, spec: cluster_objects.pod(
        f"web-{number}", address, meshed=meshed, annotations=said, spec=spec
    ),
    _NAMES,
    _ADDRESSES,
    st.booleans(),
    _ANNOTATIONS,
    _SPECS,
).map(objects.pod)
_services = st.builds(
    lambda number, port: cluster_objects.service(
        f"web-{number}", f"10.96.0.{number + 1}", ports=[{"port": port, "targetPort": 8080}]
    ),
    _NAMES,
    st.sampled_from([80, 3306]),
).map(objects.service)
_endpoints = st.builds(
    lambda address, number, ending: cluster_objects.endpoint(
        address, f"web-{number}" if number else "", ready=not ending, terminating=ending
    ),
    _ADDRESSES,
    _NAMES,
    st.booleans(),
)
_slices = st.builds(
    lambda number, name, there: cluster_objects.endpoint_slice(f"web-{number}", there, name=f"slice-{number}-{name}"),
    _NAMES,
    st.integers(0, 1),
    st.lists(_endpoints, max_size=4),
).map(objects.endpoint_slice)
_namespaces = st.builds(lambda said: cluster_objects.namespace("shop", said), _ANNOTATIONS).map(objects.namespace)
_histories = st.lists(st.tuples(_pods | _services | _slices | _namespaces, st.booleans(), st.booleans()), max_size=40)


def name_of(record: Any) -> tuple[str, ...]:
    """Tell objects apart as the API does."""
    match record:
        case objects.PodRecord():
            return "pod", record.pod.ref.uid
        case objects.ServiceRecord():
            return "service", record.key
        case objects.SliceRecord():
            return "slice", record.name
        case _:
            return "namespace", record.name


def picture(state: model.ClusterState) -> tuple[Any, ...]:
    """Give all of a state that does not depend on the order of the past."""
    return state.pods, state.services, state.names, {key: set(each) for key, each in state.behind.items()}


@given(history=_histories)
@settings(max_examples=examples.of(100), deadline=None)
def test_a_history_ends_where_its_end_is(history: list[tuple[Any, bool, bool]]) -> None:
    """Whatever came before: pods, Services, endpoints and whom to expect are those of the objects that are there."""
    followed = index.Index(TRUST_DOMAIN)
    there: dict[tuple[str, ...], Any] = {}
    for record, stays, looked in history:
        if stays:
            followed.seen(record)
            there.pop(name_of(record), None)  # the last to come is the last to have an address
            there[name_of(record)] = record
        else:
            followed.gone(record)
            there.pop(name_of(record), None)
        if looked:
            followed.state()
    if _contested(there):
        return  # two pods with one address: who had it first is history's to say
    fresh = index.Index(TRUST_DOMAIN)
    for record in there.values():
        fresh.seen(record)
    assert picture(fresh.state()) == picture(followed.state())
    assert fresh.unresolved == followed.unresolved


def _contested(there: dict[tuple[str, ...], Any]) -> bool:
    addresses = [each.pod.addresses for each in there.values() if isinstance(each, objects.PodRecord)]
    return len(set(addresses)) < len(addresses)


@given(history=_histories)
@settings(max_examples=examples.of(100), deadline=None)
def test_no_meshed_pod_is_ever_an_endpoint_in_plaintext(history: list[tuple[Any, bool, bool]]) -> None:
    """At no moment of any history, unless that port of it is not redirected."""
    known = index.Index(TRUST_DOMAIN)
    for record, stays, _ in history:
        (known.seen if stays else known.gone)(record)
        state = known.state()
        for service in state.services.values():
            for endpoint in (each for there in service.endpoints.values() for each in there):
                pod = state.pod_at(endpoint.address)
                if pod is not None:
                    assert pod.expects(endpoint.port) == endpoint.account
