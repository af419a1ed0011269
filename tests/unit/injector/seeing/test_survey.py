"""What ``ipseity check`` reads of the mesh, and what it says where it may not.

Leaves out what is judged (test_inspection.py) and a whole mesh (tests/functional/injector/test_seen.py).
"""

import pathlib

import msgspec
import pytest

from injector import names
from injector.discovery import proxies
from injector.identity import status
from injector.seeing import check, inspection, survey
from injector.webhook import configuration
from ipseity import findings, kube
from tests.fakes import mesh_api

SYSTEM = f"/api/v1/namespaces/{names.SYSTEM_NAMESPACE}"


async def looked(api: mesh_api.FakeMeshApi) -> dict[str, findings.Finding]:
    async with api.running() as client:
        await api.put("/version", {"metadata": {}})
        found = await survey.Survey(client, check.Options(), namespace=names.SYSTEM_NAMESPACE).look()
    return {each.name: each for each in found}


async def test_a_mesh_that_was_never_installed_fails_row_by_row() -> None:
    """If it was asked for; each row says what to do."""
    found = await looked(mesh_api.FakeMeshApi())
    assert {"identity", "webhook", "clocks", "proxies", "injection", "protocols", "policies"} == set(found)
    assert "there is no MutatingWebhookConfiguration" in found["webhook"].text
    assert "does not know AuthorizationPolicy" in found["policies"].text
    assert findings.Status.OK is found["clocks"].status
    assert all(each.hint for each in found.values() if each.status is not findings.Status.OK)


async def test_what_may_not_be_read_is_a_row_that_says_so() -> None:
    """The others are told all the same."""
    api = mesh_api.FakeMeshApi()
    api.forbidden = {("GET", f"{SYSTEM}/secrets")}
    found = await looked(api)
    assert findings.Status.WARN is found["identity"].status
    assert "cannot be looked at: the API server answered 403" in found["identity"].text
    assert "no control plane says" in found["proxies"].text


async def test_a_mesh_shows_by_what_it_published_or_by_its_kind() -> None:
    """Else there is none, also where the API server refuses to say."""
    api = mesh_api.FakeMeshApi()
    async with api.running() as client:
        assert not await survey._there(client, names.SYSTEM_NAMESPACE)
        await api.put(survey._CRD, {"metadata": {}})
        assert await survey._there(client, names.SYSTEM_NAMESPACE)
        await api.drop(survey._CRD)
        await api.put(f"{SYSTEM}/configmaps/{status.NAME}", {"metadata": {"name": status.NAME}, "data": {}})
        assert await survey._there(client, names.SYSTEM_NAMESPACE)
        api.failing = 403
        assert not await survey._there(client, names.SYSTEM_NAMESPACE)


async def test_the_control_plane_is_found_by_its_webhook() -> None:
    """Wherever it is; hints then speak of that namespace."""
    api = mesh_api.FakeMeshApi()
    async with api.running() as client:
        assert names.SYSTEM_NAMESPACE == await survey._namespace(client)
        await api.put(configuration.PATH, configuration.render(configuration.Endpoint(namespace="mesh")))
        assert "mesh" == await survey._namespace(client)
        api.failing = 403
        assert names.SYSTEM_NAMESPACE == await survey._namespace(client)
    found = findings.Finding(name="one", status=findings.Status.WARN, text="", hint="kubectl logs -n ipseity-system x")
    assert "kubectl logs -n mesh x" == survey._in("mesh", found).hint


@pytest.mark.parametrize(
    ("status", "said", "trial"),
    [
        (500, "failed calling webhook", inspection.Trial(error="failed calling webhook")),
        (
            403,
            'forbidden: violates PodSecurity "baseline:latest": (container "ipseity-redirect" must not ...)',
            inspection.Trial(injected=True),
        ),
        (403, 'violates PodSecurity "restricted:latest": (container "app" must set ...)', inspection.Trial()),
        (
            403,
            'User "u" cannot create resource "pods"',
            inspection.Trial(error='User "u" cannot create resource "pods"', allowed=False),
        ),
        (403, "exceeded quota", inspection.Trial(error="exceeded quota")),
    ],
)
def test_a_refusal_says_whether_the_webhook_was_asked(status: int, said: str, trial: inspection.Trial) -> None:
    """Namespaces may enforce Pod Security, and accounts may lack rights: neither is the webhook's fault."""
    assert trial == survey._refused(kube.KubernetesError(said, status=status))


def test_nobody_to_ask_is_no_mesh_unless_it_was_asked_for(tmp_path: pathlib.Path) -> None:
    """A node without a kubeconfig has its own checks to make."""
    given = check.Options(kubeconfig=str(tmp_path / "none"))
    assert check.look(given, asked=False) is None
    with pytest.raises(kube.KubernetesError, match="no such file"):
        check.look(given, asked=True)


async def test_a_published_report_is_read_back() -> None:
    """One that nobody can read is passed over."""
    api = mesh_api.FakeMeshApi()
    told = proxies.Report(time_s=1, version="1", connected=1, synced=1, troubled=0, absent=0, named=())
    async with api.running() as client:
        data = {"good": msgspec.json.encode(told).decode(), "bad": "{"}
        await api.put(f"{SYSTEM}/configmaps/{proxies.NAME}", {"metadata": {"name": proxies.NAME}, "data": data})
        assert {"good": told} == await proxies.read(client, names.SYSTEM_NAMESPACE)
