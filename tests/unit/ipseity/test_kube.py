"""Finding the cluster, and asking it. Leaves out watching (``test_informer``)."""

import asyncio
import pathlib

import pytest

from ipseity import kube
from tests.fakes import kube_api, recordings

KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: one
clusters:
- {{name: c, cluster: {{server: "{server}"}}}}
users:
- {{name: u, user: {{token: secret}}}}
contexts:
- {{name: one, context: {{cluster: c, user: u}}}}
"""


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def write(path: pathlib.Path, server: str = "http://127.0.0.1:1") -> str:
    path.parent.mkdir(exist_ok=True)
    path.write_text(KUBECONFIG.format(server=server))
    return str(path)


async def host(kubeconfig: str | None = None, context: str | None = None) -> str:
    async with await kube.connect(kubeconfig, context) as api:
        return str(api.configuration.host)


async def test_a_file_comes_before_the_variable_and_that_before_the_home_directory(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As kubectl has it."""
    write(tmp_path / ".kube/config", "http://home")
    assert "http://home" == await host()
    monkeypatch.setenv("KUBECONFIG", write(tmp_path / "env", "http://env"))
    assert "http://env" == await host()
    assert "http://flag" == await host(write(tmp_path / "flag", "http://flag"))


@pytest.mark.parametrize("case", ["nothing", "no such file", "no such context", "not yaml", "empty"])
async def test_a_cluster_that_cannot_be_found_is_an_error_with_a_hint(tmp_path: pathlib.Path, case: str) -> None:
    """Never a traceback of a library."""
    path = tmp_path / "config"
    write(path)
    if case == "not yaml":
        path.write_text("{")
    if case == "empty":
        path.write_text("")
    files = {"nothing": None, "no such file": str(tmp_path / "missing")}
    with pytest.raises(kube.KubernetesError) as raised:
        await host(files.get(case, str(path)), "wrong" if case == "no such context" else None)
    assert "kubeconfig" in raised.value.hint


async def test_a_request_carries_the_token_and_answers_with_the_body(tmp_path: pathlib.Path) -> None:
    """GET is enough for whoever only looks."""
    server = kube_api.FakeKube()
    await server.start()
    async with await kube.connect(write(tmp_path / "c", f"http://127.0.0.1:{server.port}")) as api:
        assert b'"PodList"' in await kube.get(api, "/api/v1/pods", {"limit": "1"})
        assert [{"limit": "1"}] == server.lists
        assert "Bearer secret" == (await kube.headers(api, "/"))["authorization"]
        server.answers.append((403, recordings.load("api-403-no-rights")["body"]))
        with pytest.raises(kube.KubernetesError, match="answered 403: pods is forbidden") as raised:
            await kube.get(api, "/api/v1/pods")
        assert (403, "the account needs get, list and watch on it") == (raised.value.status, raised.value.hint)
    await server.stop()


@pytest.mark.parametrize("status", [200, 500])
async def test_an_answer_that_does_not_end_is_not_read_to_its_end(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    """It would fill our memory; the status says that somebody answered."""
    monkeypatch.setattr(kube, "MAX_BODY_BYTES", 1009)
    server = kube_api.FakeKube()
    await server.start()
    server.answers = [(status, {"long": "x" * 1009})]
    async with await kube.connect(write(tmp_path / "c", f"http://127.0.0.1:{server.port}")) as api:
        with pytest.raises(kube.KubernetesError, match="longer than 1009 bytes") as raised:
            await kube.get(api, "/api/v1/pods")
    assert status == raised.value.status
    await server.stop()


async def test_a_server_that_is_not_there_is_named(tmp_path: pathlib.Path) -> None:
    """With its URL."""
    async with await kube.connect(write(tmp_path / "c")) as api:
        with pytest.raises(
            kube.KubernetesError, match=r"cannot reach the API server at http://127\.0\.0\.1:1"
        ) as raised:
            await kube.get(api, "/api/v1/pods")
    assert 0 == raised.value.status


def test_a_proxy_s_error_page_is_quoted_and_retry_after_kept() -> None:
    """What stands between us and the API server does not speak JSON."""
    error = kube.refused(429, b"<html>slow down</html>", {"Retry-After": "7"})
    assert ("the API server answered 429: <html>slow down</html>", 7.0) == (str(error), error.retry_after_s)


@pytest.mark.parametrize(
    ("body", "said"),
    [(b'{"message":"nicht verf\xfcgbar"}', "verf\ufffdgbar"), (b'{"a":' + b"[" * 5000, '{"a":[[')],
    ids=["Latin-1", "deep"],
)
def test_an_answer_that_nobody_can_read_is_an_answer_all_the_same(body: bytes, said: str) -> None:
    """And a time to wait that is none is none."""
    for wait in ("\u00b2", "9" * 5000, "-1", "soon"):
        error = kube.refused(503, body, {"Retry-After": wait})
        assert (503, 0.0) == (error.status, error.retry_after_s)
        assert said in str(error)


def test_a_resource_has_its_plural_for_a_name() -> None:
    """For metrics and messages."""
    assert "deployments" == kube.Resource(path="/apis/apps/v1/namespaces/shop/deployments").name


async def test_credentials_that_cannot_be_read_are_an_error_of_that_request(tmp_path: pathlib.Path) -> None:
    """A token file may be missing for a moment while it is rotated."""

    def rotate(_settings: object) -> None:
        raise OSError("token file is away")

    async with await kube.connect(write(tmp_path / "c")) as api:
        api.configuration.refresh_api_key_hook = rotate
        with pytest.raises(kube.KubernetesError, match=r"cannot read the credentials for .*: token file is away"):
            await kube.get(api, "/version")


async def test_a_body_that_breaks_off_is_an_error_of_that_request(tmp_path: pathlib.Path) -> None:
    """The server dies while it answers."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, await kube.connect(write(tmp_path / "c", f"http://127.0.0.1:{port}")) as api:
        with pytest.raises(kube.KubernetesError, match="cannot reach the API server"):
            await kube.get(api, "/version")
