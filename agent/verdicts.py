"""Whether one answer to "who is it" agrees with what is known, and if not, why: a closed list of reasons.

Here because metrics, records and filters speak of them and none owns them. Leaves out the answers (``model``) and how a
verdict is reached (``ledger``).
"""

import enum
from typing import Final, NamedTuple


class Match(enum.StrEnum):
    """Whether a look-up by address says the same as what is known of the end itself."""

    UNCHECKED = ""
    """Neither kernel nor handshake knows who it is, or the look-up cannot know this address."""
    SAME = "match"
    DIFFERENT = "mismatch"


class Mismatch(enum.StrEnum):
    """Why a look-up by address is wrong, as far as the evidence goes. A closed list; docs/mismatches.md has each."""

    NONE = ""
    IP_REUSED = "ip_reused"
    """It names another pod, which had the address before or has it since."""
    STALE_CACHE = "stale_cache"
    """It names another pod, because the API was out of reach while the address changed hands."""
    TERMINAL_POD_KEPT_IP = "terminal_pod_kept_ip"
    """It names a pod that was done: Succeeded or Failed, with the address still in its status."""
    HOST_NETWORK = "host_network"
    """It names the node; it was a hostNetwork pod."""
    SNAT = "snat"
    """Who opened the flow was given another source address on the way."""
    NODE_IP = "node_ip"
    """It names the node that was called; a pod behind a port of the node answered."""
    SIDECAR = "sidecar"
    """It names who was called; the caller's own sidecar answered."""
    CLUSTERIP = "clusterip"
    """It names the Service that was called; one of its pods answered."""
    UNKNOWN_CGROUP = "unknown_cgroup"
    """The pod that the kernel names is none that the API has told of: no look-up can know it."""
    LATE_EVENT = "late_event"
    """It names nobody: the API had not told yet who has the address, or had told already that the pod is gone."""
    UNDETERMINED = "undetermined"
    """The evidence does not say."""


class Verdict(NamedTuple):
    """What became of one answer when it was held against what is known."""

    match: Match = Match.UNCHECKED
    reason: Mismatch = Mismatch.NONE
    """Only of a mismatch."""


_UNCHECKED: Final = Verdict()


class Verdicts(NamedTuple):
    """One for each method that can be wrong."""

    ip: Verdict = _UNCHECKED
    ip_read: Verdict = _UNCHECKED
    handshake: Verdict = _UNCHECKED
    """Only where the kernel knows the end too."""


UNCHECKED: Final = Verdicts()
REASONS: Final = {
    "ip": tuple(reason for reason in Mismatch if reason),
    "ip_read": tuple(reason for reason in Mismatch if reason),
    "handshake": (Mismatch.UNDETERMINED,),
}
"""What each method can be wrong for."""
