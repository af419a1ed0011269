"""``ipseity sidecar``: from settings to what the supervisor is told. Leaves out running it: functional tests."""

import dataclasses
import json
import pathlib
import subprocess
import sys

import pytest

from injector import annotations, errors, names
from injector.sidecar import commands, config, envoy, journal, orders, run, spec
from ipseity import settings

ENVIRON = {
    "IPSEITY_POD_NAME": "web-1",
    "IPSEITY_POD_NAMESPACE": "shop",
    "IPSEITY_SERVICE_ACCOUNT": "web",
}
INSTALLATION = spec.Installation(version="1", image="ipseity", trust_domain="example.org")


def told(**variables: str) -> orders.Orders:
    given = {f"IPSEITY_{name.upper()}": value for name, value in variables.items()}
    return orders.Orders(**commands._orders(settings.load(config.Run, {}, {**ENVIRON, **given})))


def test_defaults_are_those_of_a_pod() -> None:
    """What spec leaves out is right as it is; orders cross to the other process unchanged."""
    made = told()
    assert "spiffe://cluster.local/ns/shop/sa/web" == made.spiffe_id
    assert "spiffe://cluster.local/ns/ipseity-system/sa/ipseity-control" == made.control_plane_id
    assert (names.IDENTITY_MOUNT, names.WORKLOAD_MOUNT) == (made.identity_dir, made.workload_dir)
    assert made == orders.of(made.to_json())
    assert pathlib.Path(made.envoy).is_file()


@pytest.mark.parametrize("container", ["proxy", "redirect"])
def test_every_variable_that_a_pod_is_given_is_a_setting(container: str) -> None:
    """And every setting that only a pod knows is given; the others have defaults."""
    plain = annotations.ProxyConfig()
    made = {
        "proxy": spec.proxy(plain, INSTALLATION),
        "redirect": spec.redirect(plain, INSTALLATION, frozenset({80})),
    }[container]
    given = {variable["name"].removeprefix("IPSEITY_").lower() for variable in made["env"]}
    unread = {"host_ip", "pod_ips"}  # for whoever looks into the container
    fields = {each.name: each for cls in (config.Run, config.Redirect) for each in dataclasses.fields(cls)}
    assert set() == given - unread - fields.keys()
    if container == "proxy":
        assert set() == {name for name, each in fields.items() if each.default is dataclasses.MISSING} - given


@pytest.mark.parametrize(
    ("namespace", "host"),
    [("mesh", "ipseity-control.mesh.svc"), ("mesh", "other.mesh.svc.cluster.local"), ("ipseity-system", "10.0.0.1")],
)
def test_the_control_plane_is_expected_to_run_where_its_name_says(namespace: str, host: str) -> None:
    """A name that is no Service's is that of an installation in the usual place."""
    assert f"spiffe://cluster.local/ns/{namespace}/sa/ipseity-control" == told(control_plane=host).control_plane_id


def test_the_values_that_a_pod_is_given_can_be_read() -> None:
    """Ports as annotations spell them, numbers, levels."""
    asked = annotations.ProxyConfig(skip_outbound_ports=frozenset({25, 6000, 6001}), concurrency=2)
    env = spec.proxy(asked, INSTALLATION)["env"]
    given = {variable["name"]: variable["value"] for variable in env if "value" in variable}
    made = settings.load(config.Run, {}, {**ENVIRON, **given})
    assert ("example.org", 2, "warning") == (made.trust_domain, made.proxy_concurrency, made.proxy_log_level)
    assert ("25", "6000-6001") == settings.load(config.Redirect, {}, given).skip_outbound_ports


@pytest.mark.parametrize("address", ["", "host", "host:", ":1", "host:0", "host:65536", "host:http", "host:\u0663"])
def test_an_address_needs_host_and_port(address: str) -> None:
    """The variable is named."""
    with pytest.raises(settings.SettingError, match="IPSEITY_DISCOVERY_ADDRESS"):
        told(discovery_address=address)


@pytest.mark.parametrize(("variable", "value"), [("trust_domain", "Not A Domain"), ("service_account", "a/b")])
def test_a_name_that_is_none_is_refused(variable: str, value: str) -> None:
    """Before a certificate is asked for."""
    with pytest.raises(errors.CannotRun, match=value):
        told(**{variable: value})


def test_what_only_the_pod_knows_must_be_given() -> None:
    """Its name, for one."""
    with pytest.raises(settings.SettingError, match="IPSEITY_POD_NAME"):
        settings.load(config.Run, {}, {})


def test_the_supervisor_loads_none_of_the_heavy_libraries() -> None:
    """Each of them alone would be a fifth of what the supervisor may weigh."""
    code = commands._LEAN.replace("sys.exit(", "print(*sys.modules); sys.exit(").replace("run.main(sys.argv[2])", "0")
    root = str(pathlib.Path(commands.__file__).parents[2])
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code, root], check=True, capture_output=True, text=True)
    heavy = {"click", "grpc", "cryptography", "asyncio", "subprocess", "ssl", "_hashlib", "dataclasses", "pathlib"}
    assert set() == heavy & set(done.stdout.split())


@pytest.mark.parametrize(
    ("code", "ran_s", "expected"), [(1, 59.9, 1), (-9, 1, 137), (0, 1, 1), (1, 60, None), (-11, 4e5, None)]
)
def test_an_envoy_that_ends_by_itself(code: int, ran_s: float, expected: int | None) -> None:
    """Once it has run for a minute it is started again; sooner, its code is ours, as a shell would give it."""
    assert expected == run.exit_code(code, ran_s)


def test_memory_that_is_left_for_envoy() -> None:
    """Of the first limit that is one: cgroup v2, then v1; half at least, and 0 without a limit."""
    assert (256 - 96) << 20 == envoy.heap_bytes([f"{256 << 20}\n", ""])
    assert 64 << 20 == envoy.heap_bytes(["max\n", f"{128 << 20}\n"])
    assert 0 == envoy.heap_bytes(["max\n", "9223372036854771712\n"])
    assert 0 == envoy.heap_bytes(["", ""])


def test_a_line_of_the_log_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    """Whatever somebody else's text has in it; and never much longer than a screen."""
    journal.say("warning", "test", message=journal.shortened("a\nb\x1b[31m" + "c" * 600), path=pathlib.Path("/x"))
    line = capfd.readouterr().err
    assert 1 == line.count("\n")
    read = json.loads(line)
    assert ("warning", "test", "/x") == (read["level"], read["event"], read["path"])
    assert read["message"].startswith("a b [31mccc")
    assert 503 == len(read["message"])
    assert read["time"].endswith("Z")
