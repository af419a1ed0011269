"""Secrets, ConfigMaps and Events as they are written and read back. Leaves out what is in them."""

import asyncio
import dataclasses

import pytest

from injector.kube import configmaps, events, secrets
from ipseity import kube
from tests.fakes import mesh_api

SECRET = secrets.TlsSecret(
    namespace="sys", name="one", certificate_pem=b"cert", key_pem=b"key", authority_pem=b"ca", ours=True
)
EVENT = events.Event(
    about=events.Object(kind="Secret", namespace="sys", name="one"),
    kind=events.Kind.WARNING,
    reason="IssuerRefused",
    action="TakeIssuer",
    note="why",
)


async def test_a_secret_is_read_as_it_was_written() -> None:
    """With the mark that it is ours, and its version."""
    async with mesh_api.FakeMeshApi().running() as api:
        assert None is await secrets.read(api, "sys", "one")
        made = await secrets.create(api, SECRET)
        assert made == await secrets.read(api, "sys", "one")
        assert SECRET == dataclasses.replace(made, version="")
        assert "key" not in repr(made).replace("key_pem", "")


async def test_a_secret_that_was_changed_meanwhile_is_not_overwritten() -> None:
    """Of two writers one hears of it: on create, replace and delete."""
    async with mesh_api.FakeMeshApi().running() as api:
        first = await secrets.create(api, SECRET)
        second = await secrets.replace(api, dataclasses.replace(first, key_pem=b"new"))
        for late in (secrets.create(api, SECRET), secrets.replace(api, first), secrets.delete(api, first)):
            with pytest.raises(kube.KubernetesError) as caught:
                await late
            assert 409 == caught.value.status
        assert await secrets.delete(api, second)
        assert not await secrets.delete(api, second)


def test_a_secret_of_cert_manager_is_not_ours() -> None:
    """It has no mark; labels and further keys do not matter."""
    found = {
        "metadata": {"name": "one", "namespace": "sys", "annotations": {"cert-manager.io/issuer-name": "root"}},
        "data": {"tls.crt": "Y2VydA==", "tls.key": "a2V5", "extra": "eA=="},
    }
    assert dataclasses.replace(SECRET, authority_pem=b"", ours=False) == secrets.parse(found)


@pytest.mark.parametrize("data", [{"tls.crt": "*"}, {"tls.crt": 5}, []])
def test_a_secret_that_is_none_is_malformed(data: object) -> None:
    """What the informer counts, and skips."""
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
        secrets.parse({"metadata": {"name": "one", "namespace": "sys"}, "data": data or [1]})


async def test_a_config_map_gets_our_keys_and_keeps_others() -> None:
    """Made where there is none; a key that is None goes."""
    fake = mesh_api.FakeMeshApi()
    async with fake.running() as api:
        await configmaps.ensure(api, "shop", "one", {"a": "1", "gone": None})
        assert {"a": "1"} == await configmaps.read(api, "shop", "one")
        await configmaps.ensure(api, "shop", "one", {"b": "2"})
        await configmaps.ensure(api, "shop", "one", {"a": None})
        assert {"b": "2"} == await configmaps.read(api, "shop", "one")
        assert None is await configmaps.read(api, "shop", "two")


async def test_no_right_to_write_says_which_right() -> None:
    """The hint names verb and path."""
    fake = mesh_api.FakeMeshApi()
    fake.forbidden.add(("PATCH", "/api/v1/namespaces/shop"))
    async with fake.running() as api:
        with pytest.raises(kube.KubernetesError) as caught:
            await configmaps.ensure(api, "shop", "one", {"a": "1"})
    assert "the account needs the right to PATCH /api/v1/namespaces/shop/configmaps/one" == caught.value.hint


async def test_an_event_is_written_and_trouble_is_counted() -> None:
    """Nobody waits for it."""
    fake = mesh_api.FakeMeshApi()
    async with fake.running() as api:
        writer = events.Writer(api, component="ipseity-control", instance="pod-1", clock=lambda: 1_795_350_000.5)
        task = asyncio.create_task(writer.run())
        writer.tell(EVENT)
        await fake.until(lambda: fake.objects)
        [written] = fake.objects.values()
        assert ("IssuerRefused", "Warning", "why") == (written["reason"], written["type"], written["note"])
        assert "2026-11-22T12:20:00.500000Z" == written["eventTime"]
        for _ in range(300):
            writer.tell(EVENT)
        assert 300 - 256 == writer.dropped
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_an_event_fits_into_the_limits_of_the_api() -> None:
    """A long note is cut; what is cluster-wide is told in `default`."""
    about = events.Object(kind="Namespace", namespace="", name="n" * 250, uid="u")
    long = dataclasses.replace(EVENT, about=about, note="x" * 5000)
    body = events.render(long, "c", "i" * 200, now_s=0, number=7)
    assert (1024, 128) == (len(body["note"]), len(body["reportingInstance"]))
    assert "default" == body["metadata"]["namespace"]
    assert len(body["metadata"]["name"]) < 253
    assert "u" == body["regarding"]["uid"]
