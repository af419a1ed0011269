"""Secrets, bundle and status in a cluster: made, followed, repaired; and a rotation from end to end by the command.

The API server is a fake that keeps objects. Leaves out what is decided (test_authority, test_rotation).
"""

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from injector import errors, names
from injector.identity import (
    anchors,
    commands,
    findings,
    issuance,
    lifecycle,
    rotating,
    rotation,
    status,
)
from injector.kube import configmaps, secrets
from ipseity import informer
from tests.fakes import authorities, mesh_api
from tests.unit.injector.identity import plane

SECRETS = f"/api/v1/namespaces/{plane.NAMESPACE}/secrets"


@pytest.fixture
async def fake() -> mesh_api.FakeMeshApi:
    made = mesh_api.FakeMeshApi()
    for name in plane.SPACES:
        await made.add_namespace(name)
    return made


async def test_an_empty_cluster_gets_anchor_issuer_and_bundle(fake: mesh_api.FakeMeshApi, tmp_path: Path) -> None:
    """All of it, in every namespace; a second control plane takes the same and makes nothing."""
    async with fake.running() as api, plane.running(plane.ControlPlane(api, tmp_path)) as control:
        await fake.until(lambda: plane.everywhere(fake, control))
        [anchor] = anchors.read_bundle(plane.trust_in(fake, "shop").encode(), "the bundle")
        assert control.held.issuer is not None
        assert anchor == control.held.issuer.anchor
        made = set(fake.objects)
        async with plane.running(plane.ControlPlane(api, tmp_path, "control-1")) as second:
            assert second.held.issuer is not None
            assert control.held.issuer.certificate == second.held.issuer.certificate
        assert made == set(fake.objects)


async def test_it_is_published_once_it_was_written_but_where_it_cannot_be(
    fake: mesh_api.FakeMeshApi, tmp_path: Path
) -> None:
    """The control plane is ready then: one namespace that refuses it does not hold up the others."""
    fake.forbidden = {(method, "/api/v1/namespaces/shop/configmaps") for method in ("PATCH", "POST")}
    async with fake.running() as api, plane.running(plane.ControlPlane(api, tmp_path)) as control:
        assert not control.publisher.published
        await fake.until(lambda: control.publisher.published)
        wanted = control.publisher.text()
        assert {name: name != "shop" for name in plane.SPACES} == {
            name: plane.trust_in(fake, name) == wanted for name in plane.SPACES
        }


async def test_a_bundle_that_was_edited_or_removed_is_put_right(fake: mesh_api.FakeMeshApi, tmp_path: Path) -> None:
    """And a new namespace gets it; one that is being deleted does not."""
    async with fake.running() as api, plane.running(plane.ControlPlane(api, tmp_path)) as control:
        await fake.until(lambda: plane.everywhere(fake, control))
        path = f"/api/v1/namespaces/shop/configmaps/{names.TRUST_BUNDLE}"
        metadata = {"name": names.TRUST_BUNDLE, "namespace": "shop"}
        await fake.put(path, {"metadata": metadata, "data": {names.TRUST_KEY: "evil", "kept": "yes"}})
        await fake.until(lambda: plane.everywhere(fake, control))
        assert "yes" == fake.objects[path]["data"]["kept"]
        await fake.drop(path)
        await fake.until(lambda: plane.everywhere(fake, control))
        await fake.put(
            "/api/v1/namespaces/going", {"metadata": {"name": "going", "uid": "g"}, "status": {"phase": "Terminating"}}
        )
        await fake.add_namespace("late")
        await fake.until(lambda: plane.trust_in(fake, "late") == control.publisher.text())
        assert "" == plane.trust_in(fake, "going")
        assert 4 == control.publisher.namespaces


async def test_a_bad_issuer_in_the_secret_is_told_and_not_taken(fake: mesh_api.FakeMeshApi, tmp_path: Path) -> None:
    """By an Event on the Secret; a good one afterwards is taken, without a restart."""
    async with fake.running() as api, plane.running(plane.ControlPlane(api, tmp_path)) as control:
        before = control.held.issuer
        good = await secrets.read(api, plane.NAMESPACE, lifecycle.ISSUER)
        anchor = await secrets.read(api, plane.NAMESPACE, lifecycle.ANCHOR)
        assert good is not None
        assert anchor is not None
        path = f"{SECRETS}/{lifecycle.ISSUER}"
        bad = dict(fake.objects[path])
        bad["data"] = {**bad["data"], "tls.key": base64.b64encode(anchor.key_pem).decode()}
        await fake.until(lambda: len(fake._watches) >= 3)
        await fake.put(path, bad)
        await plane.until(lambda: any(each.reason == "IssuerRefused" for each in control.told))
        assert before is control.held.issuer
        seen = await rotating.look(api, plane.NAMESPACE)
        await rotating.apply(api, plane.NAMESPACE, seen, rotation.Step.MAKE_ISSUER, now_s=plane.now_s())
        await plane.until(lambda: control.held.issuer is not before)


@pytest.mark.parametrize("part", ["custody", "publisher"])
async def test_a_part_that_hears_nothing_more_ends(
    part: str, fake: mesh_api.FakeMeshApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a defect: then the process ends, which is seen, and begins anew."""

    async def deaf(_self: object) -> AsyncIterator[object]:
        raise ZeroDivisionError
        yield

    async with fake.running() as api:
        control = plane.ControlPlane(api, tmp_path)
        await control.custody.start()
        monkeypatch.setattr(informer.Informer, "events", deaf)
        async with asyncio.timeout(5):
            with pytest.raises(ExceptionGroup) as raised:
                await getattr(control, part).run()
    assert isinstance(raised.value.exceptions[0], ZeroDivisionError)


async def test_a_brought_issuer_without_anchor_secret_is_enough(fake: mesh_api.FakeMeshApi, tmp_path: Path) -> None:
    """As cert-manager writes it; nothing is made."""
    above = authorities.anchor(plane.now_s())
    made = authorities.issuer_of(above, now_s=plane.now_s())
    async with fake.running() as api:
        brought = secrets.TlsSecret(
            namespace=plane.NAMESPACE,
            name=lifecycle.ISSUER,
            certificate_pem=made.certificate_pem,
            key_pem=made.key_pem,
            authority_pem=above.certificate_pem,
        )
        await secrets.create(api, brought)
        async with plane.running(plane.ControlPlane(api, tmp_path)) as control:
            assert (above.certificate,) == control.held.bundle
            assert None is await secrets.read(api, plane.NAMESPACE, lifecycle.ANCHOR)


async def test_a_start_without_a_good_issuer_says_why(fake: mesh_api.FakeMeshApi, tmp_path: Path) -> None:
    """Exit, and a hint where to look."""
    async with fake.running() as api:
        other = authorities.anchor(plane.now_s())
        made = authorities.issuer_of(authorities.anchor(plane.now_s()), now_s=plane.now_s())
        await secrets.create(api, lifecycle.anchor_secret(other, plane.NAMESPACE, lifecycle.ANCHOR))
        await secrets.create(api, lifecycle.issuer_secret(made, other.certificate, plane.NAMESPACE))
        with pytest.raises(errors.CannotRun, match="no_chain"):
            await plane.ControlPlane(api, tmp_path).custody.start()


async def test_a_rotation_from_end_to_end(fake: mesh_api.FakeMeshApi, tmp_path: Path) -> None:
    """With one pod that renews when it should: each step waits for it, and at the end the old anchor is nowhere."""
    async with fake.running() as api, plane.running(plane.ControlPlane(api, tmp_path)) as control:
        await fake.until(lambda: plane.everywhere(fake, control))
        [old] = control.held.bundle
        pod_renews(control)

        assert [rotation.Step.MAKE_ANCHOR] == await steps(api)
        await plane.until(lambda: len(control.held.bundle) == 2 and control.publisher.missing == 0)
        await plane.until_async(lambda: _waits_for(api, "1 of 1 pods have not yet said"))
        assert [] == await steps(api), "the pod has not said that it trusts the new one"
        pod_renews(control)
        await plane.until_async(lambda: _is_due(api))
        assert [rotation.Step.SWITCH_ISSUER] == await steps(api)

        await plane.until(lambda: control.held.issuer is not None and control.held.issuer.anchor != old)
        assert [] == await steps(api), "the pod still shows a leaf below the old one"
        pod_renews(control)
        await plane.until_async(lambda: _is_due(api))
        assert [rotation.Step.DROP_OLD] == await steps(api)
        await plane.until(lambda: old not in control.held.bundle and plane.everywhere(fake, control))
        assert len(control.held.bundle) == 1
        assert None is await secrets.read(api, plane.NAMESPACE, lifecycle.UPCOMING)
        assert rotation.Phase.SETTLED is (await planned(api)).phase
        found = findings.examine(
            control.held.bundle, control.held.issuer.certificate, {"c": control.status()}, now_s=plane.now_s()
        )
        assert {findings.Level.GOOD} == {each.level for each in found}


async def test_a_plan_that_somebody_overtook_changes_nothing(fake: mesh_api.FakeMeshApi, tmp_path: Path) -> None:
    """Versions are what was read, or nothing is written."""
    async with fake.running() as api, plane.running(plane.ControlPlane(api, tmp_path)):
        seen = await rotating.look(api, plane.NAMESPACE)
        await rotating.apply(api, plane.NAMESPACE, seen, rotation.Step.MAKE_ISSUER, now_s=plane.now_s())
        for step in (rotation.Step.MAKE_ISSUER, rotation.Step.SWITCH_ISSUER, rotation.Step.DROP_OLD):
            with pytest.raises(Exception, match=r"409|changed"):
                await rotating.apply(api, plane.NAMESPACE, seen, step, now_s=plane.now_s())


async def test_a_successor_with_the_same_log_takes_the_status_over(fake: mesh_api.FakeMeshApi, tmp_path: Path) -> None:
    """Else a control plane that was replaced would be waited for until its leaves end."""
    head = issuance.Head(seq=7, digest="a" * 64)
    async with fake.running() as api, plane.running(plane.ControlPlane(api, tmp_path)) as control:
        text = status.msgspec.json.encode(control.status()).decode().replace(str(issuance.Head()), str(head))
        await configmaps.ensure(
            api, plane.NAMESPACE, status.NAME, {"gone": text, "other": text.replace(str(head), "8:x")}
        )
        task = asyncio.create_task(
            status.publish(api, plane.NAMESPACE, "control-9", control.status, head=head, every_s=60)
        )
        await fake.until(lambda: "control-9" in _statuses(fake))
        assert {"other", "control-9"} <= set(_statuses(fake))
        assert "gone" not in _statuses(fake)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_the_commands_say_and_exit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`check`, `rotate --plan`, `rotate --apply --what issuer` and `log verify`, as a person runs them."""
    asyncio.run(_commands(tmp_path, monkeypatch))


async def _commands(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = mesh_api.FakeMeshApi()
    await fake.add_namespace("shop")
    async with fake.running() as api, plane.running(plane.ControlPlane(api, folder)) as control:
        config = folder / "kubeconfig"
        config.write_text(KUBECONFIG.replace("HOST", api.configuration.host))
        monkeypatch.setenv("KUBECONFIG", str(config))
        await fake.until(
            lambda: plane.trust_in(fake, "shop") == control.publisher.text() and "control-0" in _statuses(fake)
        )
        await plane.until_async(lambda: _says(api))

        def run(*words: str) -> tuple[int, str]:
            outcome = CliRunner().invoke(commands.identity, words, standalone_mode=False, catch_exceptions=False)
            return int(outcome.return_value), outcome.output

        code, said = await asyncio.to_thread(run, "check")
        assert (0, 3) == (code, said.count("ok  "))
        code, said = await asyncio.to_thread(run, "rotate", "--plan")
        assert (0, True) == (code, "next:  make-anchor" in said)
        code, said = await asyncio.to_thread(run, "rotate", "--apply", "--what", "issuer", "--wait")
        assert (0, True) == (code, "done:  made issuer" in said)
        await asyncio.to_thread(run, "rotate", "--apply")
        code, said = await asyncio.to_thread(run, "rotate", "--plan", "--settle", "9000")
        assert "phase: published" in said
        log = folder / "log"
        line, head = issuance.chain(issuance.Head(), authorities_entry())
        log.write_bytes(line + b"\n")
        assert (0, f"1 lines, newest {head}: holds\n") == await asyncio.to_thread(
            run, "log", "verify", str(log), "--head", str(head)
        )
        log.write_bytes(line.replace(b"rec", b"foo") + b"\n")
        assert 1 == (await asyncio.to_thread(run, "log", "verify", str(log), "--head", str(head)))[0]


KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: fake
contexts: [{name: fake, context: {cluster: fake, user: fake}}]
clusters: [{name: fake, cluster: {server: HOST}}]
users: [{name: fake, user: {}}]
"""


def authorities_entry() -> issuance.Entry:
    return issuance.Entry(
        time_s=1,
        serial="1" * 32,
        spiffe_id=authorities.SPIFFE_ID,
        namespace="rec",
        pod="bare",
        pod_uid="u",
        not_before_s=1,
        not_after_s=2,
        issuer="i",
        anchor="a",
    )


def pod_renews(control: plane.ControlPlane) -> None:
    """Record what a renewal would: a leaf below the issuer in use, for a pod that has the bundle."""
    issuer = control.held.issuer
    assert issuer is not None
    entry = authorities_entry()
    fields = {name: getattr(entry, name) for name in entry.__struct_fields__}
    fields["anchor"] = anchors.fingerprint(issuer.anchor)
    fields["not_after_s"] = int(plane.now_s()) + 86_400
    fields["not_before_s"] = int(plane.now_s())
    fields["trusted"] = tuple(anchors.fingerprint(each) for each in control.held.bundle)
    control.pods.record(issuance.Entry(**fields))


async def planned(api: Any) -> rotation.Plan:
    seen = await rotating.look(api, plane.NAMESPACE, settle_s=0)
    return rotation.plan(seen.known, rotation.Goal.ANCHOR, now_s=plane.now_s())


async def steps(api: Any) -> list[rotation.Step]:
    """Take the step that is due, if one is."""
    seen = await rotating.look(api, plane.NAMESPACE, settle_s=0)
    made = rotation.plan(seen.known, rotation.Goal.ANCHOR, now_s=plane.now_s())
    if not made.due or made.step is None:
        return []
    await rotating.apply(api, plane.NAMESPACE, seen, made.step, now_s=plane.now_s())
    return [made.step]


async def _is_due(api: Any) -> bool:
    return (await planned(api)).due


async def _waits_for(api: Any, reason: str) -> bool:
    waits = (await planned(api)).waits
    return len(waits) == 1 and reason in waits[0]


async def _waits_for(api: Any, reason: str) -> bool:
    waits = (await planned(api)).waits
    return len(waits) == 1 and reason in waits[0]


async def _says(api: Any) -> bool:
    found = await status.read(api, plane.NAMESPACE)
    return any(each.namespaces and not each.namespaces_missing for each in found.values())


def _statuses(fake: mesh_api.FakeMeshApi) -> dict[str, str]:
    found = fake.objects.get(f"/api/v1/namespaces/{plane.NAMESPACE}/configmaps/{status.NAME}", {})
    return dict(found.get("data", {}))
