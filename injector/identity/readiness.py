"""Whether an anchor may be put to use, or dropped: the reasons to wait, as text, empty when there are none.

Here because three ask: the rotation plan, the control plane before it takes an issuer below a new anchor, and the
bundle before it lets an anchor go. Pure.
"""

from collections.abc import Sequence
from typing import Final

from injector.identity import ledger

SETTLE_S: Final = 180.0
"""How long a written bundle takes to be in every pod that does not say so itself: the kubelet looks at projected
volumes once a minute, from a cache of up to a minute; and again as much for a slow node."""


def to_use(
    anchor: str, known: Sequence[ledger.Summary], everywhere_since_s: float | None, *, now_s: float, settle_s: float
) -> tuple[str, ...]:
    """Say why leaves below this anchor cannot be handed out yet."""
    waits = []
    pods = sum(each.pods for each in known)
    if everywhere_since_s is None:
        waits.append("the trust bundle with it is not yet in every namespace")
    elif (left_s := everywhere_since_s + settle_s - now_s) > 0 and any(each.silent for each in known):
        silent = sum(each.silent for each in known)
        waits.append(f"{silent} of {pods} pods do not say what they trust: they are given {left_s:.0f} s more")
    untold = sum(each.untold(anchor) for each in known)
    if untold:
        waits.append(f"{untold} of {pods} pods have not yet said that they trust it")
    return tuple(waits)


def to_drop(anchor: str, known: Sequence[ledger.Summary], issuer_anchor: str) -> tuple[str, ...]:
    """Say why this anchor cannot leave the bundle yet."""
    if issuer_anchor == anchor:
        return ("the issuer in use is below it",)
    uses = [use for each in known if (use := each.by_anchor.get(anchor))]
    if not uses:
        return ()
    return (f"{sum(use.pods for use in uses)} pods still have a leaf below it",)
