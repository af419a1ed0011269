"""Changes in, one state out: whose an address is, whom to expect there, and what stays the same object.

Leaves out reading objects (``test_objects``) and long random histories (``tests/sim``).
"""

import pytest

from injector import annotations
from injector.cluster import index, model, objects
from ipseity import identity
from tests.fakes import cluster_objects as given

TRUST_DOMAIN = identity.TrustDomain("cluster.local")
WEB = identity.ServiceAccount("shop", "web")


def pod(*words: str, **said: object) -> objects.PodRecord:
    """Read a pod that is not over."""
    record = objects.pod(given.pod(*words, **said))  # type: ignore[arg-type]  # of whatever the test says
    assert record is not None
    return record


def slice_of(service: str, *endpoints: dict[str, object], **said: object) -> objects.SliceRecord:
    """Read a slice."""
    return objects.endpoint_slice(given.endpoint_slice(service, endpoints, **said))  # type: ignore[arg-type]  # of whatever the test says


@pytest.fixture
def known() -> index.Index:
    """Make an index that has heard of one meshed pod behind one Service."""
    made = index.Index(TRUST_DOMAIN)
    made.seen(pod("web-1", "10.0.0.1"))
    made.seen(objects.service(given.service("web")))
    made.seen(slice_of("web", given.endpoint("10.0.0.1", "web-1")))
    return made


def behind(known: index.Index, key: str = "shop/web", port: str = "") -> tuple[model.Endpoint, ...]:
    """Give the endpoints of a Service port."""
    return known.state().services[key].endpoints.get(port, ())


def test_a_meshed_endpoint_says_whom_to_expect(known: index.Index) -> None:
    """And the state knows the pod by address, by name, and the Service that it is behind."""
    (found,) = behind(known)
    assert ("10.0.0.1", 8080, WEB) == (found.address, found.port, found.account)
    state = known.state()
    pod_there = state.pod_at("10.0.0.1")
    assert pod_there is not None
    assert pod_there == state.pod_named("shop", "web-1")
    assert ["shop/web"] == [each.key for each in state.services_of(pod_there)]


def test_nothing_changed_is_the_same_state(known: index.Index) -> None:
    """A state is an object that can be compared by identity."""
    before = known.state()
    assert before is known.state()


def test_what_did_not_change_is_the_same_object(known: index.Index) -> None:
    """A change of one pod leaves other Services and pods as they are."""
    known.seen(objects.service(given.service("other", "10.96.0.2")))
    before = known.state()
    known.seen(pod("web-1", "10.0.0.1", meshed=False))
    after = known.state()
    assert before.revision + 1 == after.revision
    assert before.services["shop/other"] is after.services["shop/other"]
    assert (None,) == tuple(each.account for each in after.services["shop/web"].endpoints[""])


def test_a_port_that_is_not_redirected_is_plaintext(known: index.Index) -> None:
    """The pod is meshed, this port of it is not."""
    known.seen(pod("web-1", "10.0.0.1", spec=given.skipping("8080")))
    assert [None] == [each.account for each in behind(known)]


def test_an_annotation_that_was_changed_later_makes_no_port_plaintext(known: index.Index) -> None:
    """What the redirect was told when the pod was made still holds in it."""
    known.seen(pod("web-1", "10.0.0.1", annotations={"config.ipseity.io/skip-inbound-ports": "8080"}))
    assert [WEB] == [each.account for each in behind(known)]


def test_an_endpoint_whose_pod_is_not_known_yet_is_held_back(known: index.Index) -> None:
    """Nobody can say whom to expect there, and plaintext would be a guess. It comes as soon as the pod does."""
    known.seen(slice_of("web", given.endpoint("10.0.0.1", "web-1"), given.endpoint("10.0.0.2", "web-2")))
    assert ["10.0.0.1"] == [each.address for each in behind(known)]
    assert {"shop/web": 1} == known.unresolved
    known.seen(pod("web-2", "10.0.0.2"))
    assert ["10.0.0.1", "10.0.0.2"] == [each.address for each in behind(known)]
    assert {} == known.unresolved


def test_an_address_without_a_pod_is_somewhere_else(known: index.Index) -> None:
    """A slice that somebody wrote by hand: plaintext, and no pod's."""
    known.seen(slice_of("web", given.endpoint("192.0.2.1")))
    assert [("192.0.2.1", None, None)] == [(each.address, each.pod, each.account) for each in behind(known)]


def test_who_has_the_address_counts_and_not_what_a_slice_says(known: index.Index) -> None:
    """A slice that names another pod changes nothing about whom to expect."""
    known.seen(pod("spy-1", "10.0.0.9", account="spy", meshed=False))
    known.seen(slice_of("web", given.endpoint("10.0.0.1", "spy-1")))
    assert [WEB] == [each.account for each in behind(known)]


@pytest.mark.parametrize("meshed", [True, False])
def test_a_slice_that_names_a_pod_that_is_not_there_waits(known: index.Index, *, meshed: bool) -> None:
    """Its address was somebody else's, or is by now: that pod is not who the Service's clients want."""
    known.seen(pod("old-1", "10.0.0.5", account="old", meshed=meshed))
    known.seen(slice_of("web", given.endpoint("10.0.0.5", "web-2")))
    assert () == behind(known)
    known.seen(pod("web-2", "10.0.0.5"))
    assert [WEB] == [each.account for each in behind(known)]
    known.gone(pod("web-2", "10.0.0.5"))
    known.seen(pod("next-1", "10.0.0.5", account="next", meshed=meshed))
    assert () == behind(known)


def test_a_service_of_another_namespace_does_not_say_what_a_pod_speaks(known: index.Index) -> None:
    """Whoever may write Services and slices in one namespace would else open ports in all others."""
    known.seen(objects.service(given.service("spy", "10.96.0.9", namespace="spies")))
    known.seen(slice_of("spy", given.endpoint("10.0.0.1"), namespace="spies"))
    state = known.state()
    there = state.pod_at("10.0.0.1")
    assert there is not None
    assert ["shop/web"] == [each.key for each in state.services_of(there)]
    assert [WEB] == [each.account for each in behind(known, "spies/spy")]


def test_an_address_is_its_next_owners_and_stays_so(known: index.Index) -> None:
    """The one before may linger, be touched again, and go: the address is not its own any more."""
    lingering = pod("web-1", "10.0.0.1")
    known.seen(pod("new-1", "10.0.0.1", account="new"))
    touched = pod("web-1", "10.0.0.1", annotations={"config.ipseity.io/inbound-policy": "strict"})
    known.seen(touched)
    found = known.state().pod_at("10.0.0.1")
    assert found is not None
    assert "new-1" == found.ref.name
    known.gone(lingering)
    found = known.state().pod_at("10.0.0.1")
    assert found is not None
    assert "new-1" == found.ref.name


def test_a_name_is_its_next_bearers(known: index.Index) -> None:
    """A StatefulSet's pod comes back with the same name; the old one's end is heard later."""
    old = pod("web-1", "10.0.0.1")
    item = given.pod("web-1", "10.0.0.2")
    item["metadata"]["uid"] = "another"
    fresh = objects.pod(item)
    assert fresh is not None
    known.seen(fresh)
    known.gone(old)
    found = known.state().pod_named("shop", "web-1")
    assert found is not None
    assert "another" == found.ref.uid


def test_a_pod_that_is_gone_leaves_its_services(known: index.Index) -> None:
    """Its endpoint is held back until the slice says so too: its address may be anybody's."""
    known.gone(pod("web-1", "10.0.0.1"))
    assert () == behind(known)
    assert None is known.state().pod_at("10.0.0.1")


def test_pods_on_their_nodes_network_have_no_address_of_their_own(known: index.Index) -> None:
    """But are endpoints: plaintext, by what the slice says."""
    known.seen(pod("host-1", "192.0.2.7", spec={"hostNetwork": True}))
    known.seen(slice_of("web", given.endpoint("192.0.2.7", "host-1")))
    assert None is known.state().pod_at("192.0.2.7")
    assert [(None, "host-1")] == [(each.account, each.pod and each.pod.name) for each in behind(known)]


def test_modes_of_a_namespace_hold_for_its_running_pods(known: index.Index) -> None:
    """Modes and opaque ports act on what runs; the pod's own win; what shapes a pod does not."""
    said = {"config.ipseity.io/inbound-policy": "strict", "config.ipseity.io/skip-inbound-ports": "8080"}
    known.seen(objects.namespace(given.namespace("shop", said)))
    found = known.state().pod_named("shop", "web-1")
    assert found is not None
    assert (annotations.InboundMode.STRICT, frozenset()) == (found.inbound, found.skip_inbound_ports)
    known.seen(pod("web-1", "10.0.0.1", annotations={"config.ipseity.io/inbound-policy": "deny"}))
    found = known.state().pod_named("shop", "web-1")
    assert found is not None
    assert annotations.InboundMode.DENY is found.inbound


def test_a_pod_whose_namespace_was_not_heard_of_is_strict(known: index.Index) -> None:
    """It may come later than its first pods, and say that plaintext is refused. What the pod itself says counts."""
    modes = annotations.InboundMode, annotations.OutboundMode
    known.seen(pod("own", "10.0.0.7", annotations={"config.ipseity.io/inbound-policy": "permissive"}))

    def found() -> dict[str, tuple[object, object]]:
        return {ref.name: (each.inbound, each.outbound) for ref, each in known.state().pods.items()}

    permissive, strict = ([mode(word) for mode in modes] for word in ("permissive", "strict"))
    assert {"web-1": tuple(strict), "own": (permissive[0], strict[1])} == found()
    known.seen(objects.namespace(given.namespace("shop")))
    assert {"web-1": tuple(permissive), "own": tuple(permissive)} == found()


def test_an_annotation_that_cannot_be_read_changes_nothing(known: index.Index) -> None:
    """What was last understood holds, and it shows; of a pod that never was understood, plaintext is refused."""
    bad = {"config.ipseity.io/inbound-policy": "closed"}
    known.seen(pod("web-1", "10.0.0.1", annotations={"config.ipseity.io/inbound-policy": "audit"}))
    known.seen(pod("web-1", "10.0.0.1", annotations=bad))
    known.seen(pod("web-2", "10.0.0.2", annotations=bad))
    modes = {ref.name: each.inbound for ref, each in known.state().pods.items()}
    assert {"web-1": annotations.InboundMode.AUDIT, "web-2": annotations.InboundMode.STRICT} == modes
    assert {"web-1", "web-2"} == {ref.name for ref in known.misconfigured}


def test_dual_stack_services_lead_to_each_pod_once() -> None:
    """The other family's endpoints are the same pods; where there are no others, they count."""
    known = index.Index(TRUST_DOMAIN)
    record = given.service("web")
    record["spec"].update(clusterIPs=["10.96.0.1", "fd00::1"], ipFamilies=["IPv4", "IPv6"])
    known.seen(objects.service(record))
    known.seen(slice_of("web", given.endpoint("10.0.0.1"), name="four"))
    known.seen(slice_of("web", given.endpoint("fd00::a"), name="six", family="IPv6"))
    assert ["10.0.0.1"] == [each.address for each in behind(known)]
    known.gone(slice_of("web", given.endpoint("10.0.0.1"), name="four"))
    assert ["fd00::a"] == [each.address for each in behind(known)]


def test_an_endpoint_in_two_slices_is_one() -> None:
    """While the controller moves it from one to the other."""
    known = index.Index(TRUST_DOMAIN)
    known.seen(objects.service(given.service("web")))
    for name in ("a", "b"):
        known.seen(slice_of("web", given.endpoint("192.0.2.1"), name=name))
    assert 1 == len(behind(known))
    known.gone(slice_of("web", given.endpoint("192.0.2.1"), name="a"))
    assert 1 == len(behind(known))
    assert ("shop/web",) == known.state().behind["192.0.2.1"]
    known.gone(slice_of("web", given.endpoint("192.0.2.1"), name="b"))
    assert ((), {}) == (behind(known), known.state().behind)


def test_several_ports_have_their_own_endpoints_and_protocols() -> None:
    """By name, with the numbers that the slice says: named targets differ from pod to pod."""
    known = index.Index(TRUST_DOMAIN)
    ports = [{"name": "http", "port": 80, "targetPort": "web"}, {"name": "db", "port": 3306}]
    known.seen(objects.service(given.service("web", ports=ports)))
    known.seen(slice_of("web", given.endpoint("192.0.2.1"), ports={"http": 8080, "db": 3306}, name="a"))
    known.seen(slice_of("web", given.endpoint("192.0.2.2"), ports={"http": 9080, "db": 3306}, name="b"))
    assert [8080, 9080] == [each.port for each in behind(known, port="http")]
    protocols = {each.name: each.protocol for each in known.state().services["shop/web"].ports}
    assert {"http": model.Protocol.HTTP, "db": model.Protocol.OPAQUE} == protocols


def test_a_service_that_is_gone_is_gone(known: index.Index) -> None:
    """Its slices may linger."""
    known.gone(objects.service(given.service("web")))
    assert {} == known.state().services
