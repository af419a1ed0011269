"""This node's part of ``ipseity check``: whether the agent can run here, and whether it does.

Here because everything that can be missing is found before it hurts, each with what to do about it. Reads the machine
and asks the API server and the agent; changes nothing. Leaves out what is needed and why (``requirements``).
"""

import asyncio
import os
import pathlib
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Final

from agent import apiaddress, cgroups, client, config, errors, handshake, keys, keysecret, pins, requirements
from ipseity import contribution, findings, kube

_BCC_TIMEOUT_S: Final = 30.0
_BCC: Final = "import bcc; print(bcc.__version__)"
_STATUS: Final = pathlib.Path("/proc/self/status")
_OK: Final = 200
_CAP_SYS_ADMIN: Final = 21
_CAP_SYS_RESOURCE: Final = 24
Finding = findings.Finding
Status = findings.Status


def look(settings: config.Config, *, asked: bool) -> findings.Section:
    """Check everything about this node, whether it was asked for or not."""
    del asked
    checks: tuple[Callable[[config.Config], Finding | None], ...] = (
        _kernel,
        _memory_limit,
        _cgroup2,
        _bpffs,
        _tracefs,
        _capabilities,
        _bcc,
        _kubernetes,
        _handshake,
        _agent,
    )
    found = tuple(finding for check in checks if (finding := check(settings)) is not None)
    return findings.Section(verdict=verdict(found), findings=found)


def verdict(found: Sequence[Finding]) -> str:
    """Say in one sentence whether the agent can run here."""
    if failed := findings.names(found, Status.FAIL):
        if failed == "kubernetes":
            return "the agent can run here, but without the API server it can name no pod: kubernetes"
        return f"the agent cannot run here: {failed}"
    if warned := findings.names(found, Status.WARN):
        return f"the agent can run here, with less: {warned}"
    return "the agent can run here"


def _kernel(settings: config.Config) -> Finding:
    del settings
    return requirements.kernel(os.uname().release)


def _memory_limit(settings: config.Config) -> Finding | None:
    del settings
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    limit = None if soft == resource.RLIM_INFINITY else soft
    return requirements.memory_limit(os.uname().release, limit, may_raise=_may(_CAP_SYS_RESOURCE))


def _cgroup2(settings: config.Config) -> Finding:
    try:
        root = settings.cgroup_root or cgroups.find_root()
        mount = cgroups.mount_of(root)
        root.stat()
    except (errors.Unavailable, OSError) as error:
        return _failed("cgroup2", error, hint="give a cgroup2 directory with --cgroup-root")
    own = (mount / "cgroup.events").exists()  # which the root of the machine does not have
    return requirements.cgroup2(str(root), is_own_namespace=own, is_whole_tree=root == mount)


def _bpffs(settings: config.Config) -> Finding:
    mounted = pins.mounted(settings.bpffs)
    return requirements.bpffs(str(settings.bpffs), mounted=mounted, may_mount=_may(_CAP_SYS_ADMIN))


def _tracefs(settings: config.Config) -> Finding:
    events = settings.tracefs / "events"
    # os.path says no where pathlib raises: tracefs is closed to all but root.
    present = [name for name in requirements.TRACEPOINTS if os.path.isdir(events / name)]  # noqa: PTH112  # see above
    mounted = os.path.isdir(events)  # noqa: PTH112  # see above
    return requirements.tracepoints(present, mounted=mounted, path=str(settings.tracefs))


def _capabilities(settings: config.Config) -> Finding:
    del settings
    return requirements.capabilities(_effective())


def _effective() -> int:
    found = re.search(r"^CapEff:\s*([0-9a-f]+)$", _STATUS.read_text(), re.MULTILINE)
    return int(found[1], 16) if found else 0


def _may(bit: int) -> bool:
    return bool(_effective() >> bit & 1)


def _bcc(settings: config.Config) -> Finding:
    """Import BCC in a process of its own, as the loader does: it brings LLVM along."""
    del settings
    hint = "apt install python3-bpfcc, and run ipseity with the system's Python (a venv with --system-site-packages)"
    try:
        done = subprocess.run(  # noqa: S603  # our own interpreter, a constant program
            [sys.executable, "-c", _BCC], capture_output=True, text=True, timeout=_BCC_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return _failed("bcc", error, hint=hint)
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2] or f"exit status {done.returncode}"
        return Finding(name="bcc", status=Status.FAIL, text=f"cannot be imported: {last}", hint=hint)
    return Finding(name="bcc", status=Status.OK, text=done.stdout.strip())


def _kubernetes(settings: config.Config) -> Finding:
    """Ask the API server what the agent will ask it: to list pods."""
    try:
        where = asyncio.run(_list_one_pod(settings))
    except kube.KubernetesError as error:
        return _failed("kubernetes", error, hint=error.hint)
    return Finding(name="kubernetes", status=Status.OK, text=f"{where} lists pods")


async def _list_one_pod(settings: config.Config) -> str:
    api = await kube.connect(settings.kubeconfig, settings.context)
    try:
        await kube.get(api, kube.PODS.path, {"limit": "1"})
        return str(api.configuration.host)
    finally:
        await api.close()


def _handshake(settings: config.Config) -> Finding | None:
    """Look for the keys, where the agent will; an API server that cannot be asked is found wrong above."""
    file, secret = settings.handshake_key_file, settings.handshake_secret
    if file is None and not secret:
        return Finding(name="handshake", status=Status.OK, text="no identities in TCP handshakes, as configured")
    try:
        found = handshake.read_file(file) if file is not None else asyncio.run(_read_secret(settings))
    except keys.Unusable as error:
        return Finding(name="handshake", status=Status.WARN, text=str(error), hint=error.hint)
    except kube.KubernetesError as error:
        if not error.status:
            return None
        return Finding(
            name="handshake", status=Status.WARN, text=str(error), hint=f"see docs/handshake.md: {error.hint}"
        )
    if found is None:
        text = f"no Secret {secret}: peers are known by their addresses alone"
        return Finding(name="handshake", status=Status.WARN, text=text, hint="ipseity handshake init")
    named = ", ".join(f"{name} {mark}" for name, mark in found.named().items())
    return Finding(name="handshake", status=Status.OK, text=f"keys: {named}")


async def _read_secret(settings: config.Config) -> keys.Keys | None:
    api = await kube.connect(settings.kubeconfig, settings.context)
    try:
        held = await keysecret.read(api, keysecret.Place.parse(settings.handshake_secret))
    finally:
        await api.close()
    return held.keys if held else None


def _agent(settings: config.Config) -> Finding:
    """Ask the agent itself. Not to run yet is no fault of the machine; to run and not to be well is."""
    try:
        address = apiaddress.parse(settings.api)
        status, detail = client.probe(address, "/healthz")
        ready, why = client.probe(address, "/readyz") if status == _OK else (status, detail)
    except errors.Unavailable as error:
        hint = "start it: ipseity agent; another place is given with --api"
        return Finding(name="agent", status=Status.WARN, text=str(error), hint=hint)
    if status != _OK:
        return Finding(name="agent", status=Status.FAIL, text=f"not well: {_told(detail)}", hint="see its log")
    if ready != _OK:
        text = f"runs, but does not know all names yet: {_told(why)}"
        return Finding(name="agent", status=Status.WARN, text=text, hint="see kubernetes above, or wait")
    return Finding(name="agent", status=Status.OK, text=f"runs at {address}")


def _told(detail: dict[str, object]) -> str:
    """Spell a probe's detail."""
    spelled = {True: "yes", False: "no"}
    pairs = [(name.replace("_", " "), value) for name, value in detail.items() if name != "ok"]
    told = [f"{name} {spelled[value] if isinstance(value, bool) else value}" for name, value in pairs]
    return ", ".join(told) or "no reason given"


def _failed(name: str, error: Exception, *, hint: str) -> Finding:
    return Finding(name=name, status=Status.FAIL, text=str(error), hint=getattr(error, "hint", "") or hint)


NODE: Final = contribution.Contribution(
    order=1,
    only="Only this node: what the agent needs, and the agent itself.",
    settings=config.Config,
    look=look,
)
"""Registered in the group ``ipseity.checks``."""
