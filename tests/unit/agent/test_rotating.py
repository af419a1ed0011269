"""``ipseity handshake`` against one Secret. Left out: agents that follow it (tests.prove.handshake_rotation)."""

import asyncio
import pathlib

import pytest

from agent import checks, config, errors, keys, keysecret, rotating
from ipseity import kube
from tests.fakes import secret_api

PLACE = keysecret.Place(secret_api.NAMESPACE, secret_api.NAME)


def at(api: secret_api.SecretApi, tmp_path: pathlib.Path) -> rotating.Where:
    return rotating.Where(place=PLACE, kubeconfig=api.kubeconfig(tmp_path / "kubeconfig"), context=None)


def held(api: secret_api.SecretApi) -> keys.Keys:
    assert api.secret is not None
    return keys.from_secret(api.secret["data"])


async def test_a_secret_is_made_once(tmp_path: pathlib.Path) -> None:
    """The second time nothing is changed; what is said has no key in it."""
    said: list[str] = []
    async with secret_api.SecretApi() as api:
        for _ in range(2):
            assert await rotating.init(at(api, tmp_path), said.append)
        known = held(api)
        assert await rotating.status(at(api, tmp_path), said.append)
    mark = keys.fingerprint(known.current)
    assert [
        f"made Secret {PLACE} with key {mark}; agents use it at once",
        f"Secret {PLACE} is there already, with key {mark}",
        f"current   {mark}",
        "no rotation is under way",
    ] == said


async def test_without_a_secret_it_is_said_how_to_make_one(tmp_path: pathlib.Path) -> None:
    """Nothing is made by the way."""
    async with secret_api.SecretApi() as api:
        with pytest.raises(errors.Unavailable, match="there is no Secret") as caught:
            await rotating.rotate(at(api, tmp_path), print, apply=True, wait=False)
        assert (None, "ipseity handshake init") == (api.secret, caught.value.hint)


async def test_a_rotation_step_by_step(tmp_path: pathlib.Path) -> None:
    """Each step once, and none before its time; whoever asks again finds what is next."""
    said: list[str] = []
    async with secret_api.SecretApi() as api:
        where = at(api, tmp_path)
        await rotating.init(where, said.append)
        old = held(api).current
        assert await rotating.rotate(where, said.append, apply=False, wait=False)
        assert held(api) == keys.Keys(current=old)
        assert await rotating.rotate(where, said.append, apply=True, wait=False)
        new = held(api).next
        assert not await rotating.rotate(where, said.append, apply=True, wait=False)
        assert not await rotating.status(where, said.append)
        assert keys.Keys(current=old, next=new) == held(api)
        assert await rotating.rotate(where, said.append, apply=True, wait=False, settle_s=0)
        assert keys.Keys(current=new, previous=old) == held(api)
        assert await rotating.rotate(where, said.append, apply=True, wait=False, settle_s=0)
        assert keys.Keys(current=new) == held(api)
    assert [] == [line for line in said if new.hex() in line or old.hex() in line]


async def test_a_rotation_in_one_go(tmp_path: pathlib.Path) -> None:
    """With the waits between its steps."""
    said: list[str] = []
    async with secret_api.SecretApi() as api:
        await rotating.init(at(api, tmp_path), said.append)
        old = held(api).current
        assert await rotating.rotate(at(api, tmp_path), said.append, apply=True, wait=True, settle_s=0)
        assert ({"current"}, True) == (set(held(api).named()), held(api).current != old)
    assert ["done: announce", "done: switch", "done: drop"] == [line for line in said if line.startswith("done")]


async def test_of_two_who_rotate_at_once_one_is_told(tmp_path: pathlib.Path) -> None:
    """And nothing of his is written."""
    async with secret_api.SecretApi() as api:
        await rotating.init(at(api, tmp_path), print)
        old, api.meddle = held(api), True
        with pytest.raises(errors.Unavailable, match="was changed while"):
            await rotating.rotate(at(api, tmp_path), print, apply=True, wait=False)
        assert old == held(api)


async def test_a_refusal_is_an_error_with_a_hint(tmp_path: pathlib.Path) -> None:
    """Whoever lacks the right is told which."""
    async with secret_api.SecretApi() as api:
        api.refuses = 403
        with pytest.raises(kube.KubernetesError, match="no: 403") as caught:
            await rotating.status(at(api, tmp_path), print)
        assert "get, create and update" in caught.value.hint


@pytest.mark.parametrize("text", ["", "name", "/name", "ns/", "a/b/c"])
def test_a_place_is_namespace_and_name(text: str) -> None:
    """Anything else is refused in words that quote it."""
    with pytest.raises(ValueError, match="is not NAMESPACE/NAME"):
        keysecret.Place.parse(text)


def test_what_is_watched_can_be_allowed_by_name() -> None:
    """RBAC's resourceNames hold for list and watch only with this selector."""
    resource = PLACE.resource()
    assert ("/api/v1/namespaces/ipseity-system/secrets", "metadata.name=ipseity-handshake") == (
        resource.path, resource.field_selector
    )  # fmt: skip


@pytest.mark.parametrize("data", [None, {}, {"current": 7}, ["current"], {"current": "!"}])
def test_a_secret_that_cannot_be_used_is_a_value(data: object) -> None:
    """An error would be quoted by whoever reads a watch."""
    assert isinstance(keysecret.trim(keysecret.Shape(data=data)), keys.Unusable)


async def _checked(api: secret_api.SecretApi, tmp_path: pathlib.Path) -> tuple[str, str]:
    settings = config.Config(kubeconfig=api.kubeconfig(tmp_path / "kubeconfig"))
    found = await asyncio.to_thread(checks._handshake, settings)
    assert found is not None
    return found.status.value, found.text


async def test_check_looks_for_the_keys(tmp_path: pathlib.Path) -> None:
    """There, missing, refused."""
    async with secret_api.SecretApi() as api:
        assert ("warn", True) == ((found := await _checked(api, tmp_path))[0], "no Secret" in found[1])
        await rotating.init(at(api, tmp_path), print)
        mark = keys.fingerprint(held(api).current)
        assert ("ok", f"keys: current {mark}") == await _checked(api, tmp_path)
        api.refuses = 403
        assert "warn" == (await _checked(api, tmp_path))[0]


def test_check_of_a_file(tmp_path: pathlib.Path) -> None:
    """Its keys by fingerprint; or why it cannot be used; or that nothing is wanted; or nothing, without an API."""
    path = tmp_path / "keys"
    settings = config.Config(handshake_key_file=path, kubeconfig=str(tmp_path / "none"))
    missing = checks._handshake(settings)
    path.write_text("00" * 16)
    path.chmod(0o600)
    there, off = checks._handshake(settings), checks._handshake(config.Config(handshake_secret=""))
    assert [("warn", True), ("ok", True), ("ok", True)] == [
        (found.status.value, text in found.text)
        for found, text in ((missing, "No such file"), (there, "keys: current"), (off, "as configured"))
        if found
    ]
    assert checks._handshake(config.Config(kubeconfig=str(tmp_path / "none"))) is None
