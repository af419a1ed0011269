"""The webhook's certificate in a cluster that keeps objects. Leaves out when it is due: test_certificate."""

import datetime as dt

import pytest
from kubernetes.aio import client

from injector import errors
from injector.webhook import certificate, configuration, registration, rotation, tls
from ipseity import kube
from tests.fakes import kube_objects

HOSTS = ("ipseity-control.ipseity-system.svc",)
NOW = dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC)
SECRETS = "/api/v1/namespaces/ipseity-system/secrets"


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> dt.datetime:
        return self.now


def make(
    api: client.ApiClient, clock: Clock, hosts: tuple[str, ...] = HOSTS, *, leads: bool = True
) -> tuple[rotation.Rotation, tls.Credentials]:
    credentials, endpoint = tls.Credentials(), configuration.Endpoint()
    made = rotation.Rotation(api, credentials, endpoint, hosts=hosts, leads=lambda: leads, clock=clock)
    return made, credentials


async def test_the_first_start_makes_everything() -> None:
    """A pair in a Secret, the configuration that trusts it, and a server that serves it."""
    cluster, clock = kube_objects.KubeObjects(), Clock()
    async with cluster.serve() as api:
        rotating, credentials = make(api, clock)
        assert rotating.expires is None
        await rotating.settle()
        assert NOW + certificate.LIFE == rotating.expires
        found = cluster.objects[configuration.PATH]
        assert credentials.pair is not None
        assert credentials.pair.authority_pem == configuration.bundle_of(found)
        assert "kubernetes.io/tls" == cluster.objects[f"{SECRETS}/ipseity-webhook"]["type"]
        before = len(cluster.requests)
        await rotating.settle()
        assert {"GET"} == {method for method, _ in cluster.requests[before:]}


async def test_a_second_replica_serves_what_the_first_made() -> None:
    """It writes nothing, not even while there is nothing: that is the leader's."""
    cluster, clock = kube_objects.KubeObjects(), Clock()
    async with cluster.serve() as api:
        (first, served), (second, also_served) = make(api, clock), make(api, clock, leads=False)
        await second.settle()
        assert (None, {}) == (also_served.pair, cluster.objects)
        await first.settle()
        await second.settle()
        assert served.pair == also_served.pair
        before = len(cluster.requests)
        clock.now += certificate.LIFE * 0.7
        await second.settle()
        assert {"GET"} == {method for method, _ in cluster.requests[before:]}


async def test_a_renewal_trusts_first_and_switches_after_a_while() -> None:
    """Whoever looks in between finds both authorities."""
    cluster, clock = kube_objects.KubeObjects(), Clock()
    async with cluster.serve() as api:
        rotating, credentials = make(api, clock)
        await rotating.settle()
        first = credentials.pair
        assert first is not None
        clock.now += certificate.LIFE * 0.7
        await rotating.settle()
        assert first == credentials.pair
        both = configuration.bundle_of(cluster.objects[configuration.PATH])
        assert 2 == both.count(b"BEGIN CERTIFICATE")
        clock.now += certificate.SETTLE
        await rotating.settle()
        assert credentials.pair not in (None, first)
        assert f"{SECRETS}/ipseity-webhook-next" not in cluster.objects
        assert both == configuration.bundle_of(cluster.objects[configuration.PATH])
        clock.now += certificate.KEEP + certificate.SKEW
        await rotating.settle()
        assert 1 == configuration.bundle_of(cluster.objects[configuration.PATH]).count(b"BEGIN CERTIFICATE")


async def test_a_configuration_of_another_version_is_brought_up_to_date() -> None:
    """Its certificate authorities are right; its time-out is not."""
    cluster, clock = kube_objects.KubeObjects(), Clock()
    async with cluster.serve() as api:
        rotating, _ = make(api, clock)
        await rotating.settle()
        found = cluster.objects[configuration.PATH]
        found["webhooks"][0]["timeoutSeconds"] = 30
        await rotating.settle()
        assert 5 == cluster.objects[configuration.PATH]["webhooks"][0]["timeoutSeconds"]
        assert await registration.remove(api)
        assert not await registration.remove(api)


async def test_who_was_faster_wins() -> None:
    """A Secret that another replica wrote meanwhile is read again, and served."""
    cluster, clock = kube_objects.KubeObjects(), Clock()
    async with cluster.serve() as api:
        first, served = make(api, clock)
        second, also_served = make(api, clock)
        seen = await second._look()
        await first.settle()
        await second._take(certificate.Step.MAKE, seen)
        await second.settle()
        assert served.pair == also_served.pair


async def test_a_secret_that_is_not_ours_is_served_and_never_written() -> None:
    """Whoever made it renews it."""
    cluster, clock = kube_objects.KubeObjects(), Clock()
    async with cluster.serve() as api:
        await make(api, clock)[0].settle()
        theirs = cluster.objects[f"{SECRETS}/ipseity-webhook"]
        del theirs["metadata"]["annotations"]
        rotating, credentials = make(api, clock)
        await rotating.settle()
        assert credentials.pair is not None
        clock.now += certificate.LIFE
        with pytest.raises(errors.CannotRun, match="ipseity-system/ipseity-webhook was not made by ipseity"):
            await rotating.settle()
        assert theirs == cluster.objects[f"{SECRETS}/ipseity-webhook"]


async def test_an_api_server_that_refuses_is_an_error_with_its_words() -> None:
    """And what is served stays."""
    cluster, clock = kube_objects.KubeObjects(), Clock()
    async with cluster.serve() as api:
        rotating, credentials = make(api, clock)
        await rotating.settle()
        cluster.refuse["GET", f"{SECRETS}/ipseity-webhook"] = 403
        with pytest.raises(kube.KubernetesError, match="fake 403"):
            await rotating.settle()
        assert credentials.pair is not None


async def test_two_that_want_different_names_do_not_spin() -> None:
    """One step at a time, with a wait between; a plan that goes in a circle would be cut off."""
    cluster, clock = kube_objects.KubeObjects(), Clock()
    async with cluster.serve() as api:
        (first, _), (second, _) = make(api, clock), make(api, clock, ("other.svc",))
        for rotating in (first, second, first, second):
            await rotating.settle()
        assert 40 > len(cluster.requests)


def test_a_pair_that_does_not_fit_leaves_what_is_served() -> None:
    """The context that serves is touched by pairs that work only."""
    credentials = tls.Credentials()
    good, other = certificate.make(HOSTS, NOW), certificate.make(HOSTS, NOW)
    assert credentials.use(good)
    assert not credentials.use(good)
    mixed = certificate.Pair(certificate_pem=good.certificate_pem, key_pem=other.key_pem, authority_pem=b"")
    with pytest.raises(errors.CannotRun, match="cannot be used"):
        credentials.use(mixed)
    assert good == credentials.pair
