"""Loads the redirect into this network namespace, takes it out again, and reads back what the kernel has.

Here because it is the one place that changes the pod's network; what it loads is decided in ``redirect``. Needs the
program nft and CAP_NET_ADMIN, nothing else: no shell, no file, no other capability.
"""

import dataclasses
import json
import os
import shutil
import subprocess
from typing import Any, Final

from injector import errors, names
from injector.sidecar import redirect

_PATH: Final = "/usr/sbin:/sbin:/usr/local/sbin:/usr/bin:/bin"
_TIMEOUT_S: Final = 20.0
_MAX_SHOWN: Final = 500


@dataclasses.dataclass(frozen=True, slots=True)
class Hooked:
    """A chain that the kernel asks where packets go."""

    family: str
    table: str
    name: str
    kind: str
    hook: str

    def __str__(self) -> str:
        return f"{self.family} {self.table} {self.name}"


def apply(plan: redirect.Redirect) -> None:
    """Load the plan, in place of whatever this mesh loaded before, in one transaction. Raises CannotRun."""
    _nft(("--file", "-"), redirect.ruleset(plan))


def undo() -> None:
    """Remove what ``apply`` loaded, if it is there. Raises CannotRun."""
    _nft(("--file", "-"), redirect.remove())


def chains() -> list[Hooked]:
    """List the chains of this network namespace that are hooked anywhere. Raises CannotRun."""
    listing = json.loads(_nft(("--json", "list", "chains"), ""))
    return [_hooked(entry["chain"]) for entry in listing.get("nftables", ()) if "hook" in entry.get("chain", {})]


def redirects(chain: str) -> set[int]:
    """List the ports that a chain of ours redirects to, as the kernel has it. Raises CannotRun."""
    listing = json.loads(_nft(("--json", "list", "chain", "inet", redirect.TABLE, chain), ""))
    statements = [step for entry in listing["nftables"] for step in entry.get("rule", {}).get("expr", ())]
    return {step["redirect"]["port"] for step in statements if isinstance(step.get("redirect"), dict)}


def _hooked(chain: dict[str, Any]) -> Hooked:
    return Hooked(chain["family"], chain["table"], chain["name"], str(chain.get("type")), str(chain["hook"]))


def _nft(arguments: tuple[str, ...], text: str) -> str:
    program = shutil.which("nft", path=os.environ.get("PATH", "") + ":" + _PATH)
    if program is None:
        raise errors.CannotRun(
            "the program nft is not in this image", hint="use the ipseity image, or add the package nftables to yours"
        )
    try:
        done = subprocess.run(  # noqa: S603  # a program and arguments of ours; no shell
            [program, *arguments], input=text, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise errors.CannotRun(f"{program} cannot be run: {error}", hint="see the node's own log") from error
    if done.returncode:
        raise _refused(done.stderr)
    return done.stdout


def _refused(said: str) -> errors.CannotRun:
    shown = said.strip()[:_MAX_SHOWN]
    if "Operation not permitted" in said:
        return errors.CannotRun(
            f"the kernel does not let this container change the pod's network: {shown}",
            hint=f"container {names.REDIRECT} needs runAsUser 0 and NET_ADMIN; a policy may have removed them",
        )
    return errors.CannotRun(
        f"nft refused the redirect: {shown}",
        hint="the node's kernel needs nf_tables, nft_redir, nft_chain_nat, nft_reject_inet and nf_conntrack; "
        "for TCP probes also nft_socket and nft_fib_inet",
    )
