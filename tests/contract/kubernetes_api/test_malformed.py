"""Bad requests: each is refused with a Status that says why; none is a 500, none ends the server."""

import io
import json
import random

import pytest
import yaml

from tests.contract.kubernetes_api import cluster


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b"\xff\xfe",
        b'{"metadata": "x"}',
        b'{"metadata": {"name": 7}}',
        b'{"data": {"k": 1}}',
    ],
)
async def test_a_body_that_is_no_object(api: cluster.Cluster, maps: str, body: bytes) -> None:
    """400 BadRequest, also for a field of the wrong type."""
    (await api.call("POST", maps, body)).refused(400, "BadRequest")


async def test_nesting_without_end(api: cluster.Cluster, maps: str) -> None:
    """Neither JSON nor YAML exhausts the stack."""
    depth = 100_000
    (await api.call("POST", maps, b"[" * depth)).refused(400, "BadRequest")
    (await api.call("POST", maps, b"[" * depth, "application/yaml")).refused(400, "BadRequest")
    (await api.call("POST", maps, b'{"a":' * depth + b"1" + b"}" * depth)).refused(400, "BadRequest")


async def test_a_body_that_is_too_large(api: cluster.Cluster, maps: str) -> None:
    """413, before it is read as JSON."""
    body = io.BytesIO(json.dumps(cluster.config_map("a", {"k": "x" * (4 << 20)})).encode())
    async with api.session.post(maps, data=body, headers={"Content-Type": cluster.JSON}) as answer:
        found = await answer.json()
    assert (answer.status, found["reason"]) == (413, "RequestEntityTooLarge")


async def test_an_unknown_media_type(api: cluster.Cluster, maps: str) -> None:
    """415 names what is taken."""
    body = (await api.call("POST", maps, b"<a/>", "application/xml")).refused(415, "UnsupportedMediaType")
    assert "application/json" in body["message"]
    (await api.patch(f"{maps}/a", b"{}", "application/json")).refused(415, "UnsupportedMediaType")


async def test_yaml_is_taken(api: cluster.Cluster, maps: str) -> None:
    """A body may be YAML."""
    body = yaml.safe_dump(cluster.config_map("a", {"k": "v"})).encode()
    assert (await api.call("POST", maps, body, "application/yaml")).expect(201)["data"] == {"k": "v"}


async def test_yaml_that_grows(api: cluster.Cluster, maps: str) -> None:
    """Aliases, by which a few lines become a billion, are refused."""
    bomb = b"a: &a [x, x]\nb: &b [*a, *a]\nmetadata: {name: bomb}\n"
    (await api.call("POST", maps, bomb, "application/yaml")).refused(400, "BadRequest")


async def test_unknown_fields(api: cluster.Cluster, maps: str) -> None:
    """Strict refuses them, Warn says so in a header, Ignore is silent; none is stored."""
    body = {**cluster.config_map("a"), "dada": {}, "metadata": {"name": "a", "lables": {}}}
    refused = (await api.call("POST", maps, body, fieldValidation="Strict")).refused(400, "BadRequest")
    assert 'strict decoding error: unknown field "dada", unknown field "metadata.lables"' in refused["message"]
    warned = await api.call("POST", maps, body, fieldValidation="Warn", dryRun="All")
    assert 'unknown field \\"dada\\"' in warned.headers["Warning"]
    silent = await api.call("POST", maps, body, fieldValidation="Ignore")
    assert "Warning" not in silent.headers
    assert "dada" not in silent.expect(201)


@pytest.mark.parametrize(
    "path", ["/api/v2/pods", "/api/v1/nopes", "/apis/nope/v1/things", "/nope", "/api/v1/namespaces/default/pods/a/b/c"]
)
async def test_paths_that_are_not_there(api: cluster.Cluster, path: str) -> None:
    """404."""
    assert (await api.get(path)).code == 404


async def test_verbs_that_are_not_there(api: cluster.Cluster, maps: str) -> None:
    """405."""
    (await api.call("PUT", maps, {})).refused(405, "MethodNotAllowed")


@pytest.mark.parametrize(
    ("query", "code", "reason"),
    [
        ({"labelSelector": "a=b=c"}, 400, "BadRequest"),
        ({"fieldSelector": "spec.nope=1"}, 400, "BadRequest"),
        ({"resourceVersion": "abc"}, 400, "BadRequest"),
        ({"continue": "!!"}, 400, "BadRequest"),
        ({"resourceVersionMatch": "Exact"}, 422, "Invalid"),
        ({"sendInitialEvents": "true", "watch": "true"}, 422, "Invalid"),
    ],
)
async def test_list_options_that_make_no_sense(
    api: cluster.Cluster, maps: str, query: dict[str, str], code: int, reason: str
) -> None:
    """400 for what cannot be read, 422 for what does not fit together."""
    body = (await api.get(maps, **query)).expect(code)
    assert (body["kind"], body["reason"]) == ("Status", reason)


async def test_a_token_is_needed(api: cluster.Cluster, maps: str) -> None:
    """401 for another one, worded as recorded."""
    async with api.session.get(maps, headers={"Authorization": "Bearer nope"}) as answer:
        body = await answer.json()
    assert (answer.status, body["reason"], body["message"]) == (401, "Unauthorized", "Unauthorized")


async def test_protobuf_that_is_cut_off(api: cluster.Cluster, maps: str) -> None:
    """400, whatever the bytes."""
    noise = random.Random(7)
    for length in range(0, 60, 7):
        body = b"k8s\x00" + noise.randbytes(length)
        answer = await api.call("POST", maps, body, "application/vnd.kubernetes.protobuf")
        assert answer.code == 400, (body, answer)


PATCHES = (
    (b"[", cluster.JSON_PATCH),
    (b'{"op": "add"}', cluster.JSON_PATCH),
    (b'[{"op": "nope", "path": "/a"}]', cluster.JSON_PATCH),
    (b'[{"op": "add", "path": "/nope/deep", "value": 1}]', cluster.JSON_PATCH),
    (b'[{"op": "test", "path": "/data/k", "value": "other"}]', cluster.JSON_PATCH),
    (b'[{"op": "remove", "path": ""}]', cluster.JSON_PATCH),
    (b"[]", cluster.MERGE),
    (b'{"metadata": []}', cluster.MERGE),
    (b'{"data": {"$patch": "nope"}}', cluster.STRATEGIC),
    (b'{"metadata": {"ownerReferences": [{"name": "x"}]}}', cluster.STRATEGIC),
    (b"a: b: c", cluster.APPLY),
    (b"[]", cluster.APPLY),
)


@pytest.mark.parametrize(("body", "media_type"), PATCHES)
async def test_patches_that_cannot_be_applied(api: cluster.Cluster, maps: str, body: bytes, media_type: str) -> None:
    """400 or 422, and the object stays as it is."""
    made = await api.create(maps, cluster.config_map("a", {"k": "v"}))
    answer = await api.patch(f"{maps}/a", body, media_type, fieldManager="contract")
    assert answer.code in {400, 422}, answer
    assert answer.body["kind"] == "Status"
    assert (await api.get(f"{maps}/a")).expect(200) == made
