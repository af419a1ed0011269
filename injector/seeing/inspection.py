"""What the mesh's rows of ``ipseity check`` say, judged from plain facts. Pure.

Here because what is wrong must be said with the next command to type, and rules on values can be tested for clusters
that are not at hand. Times are the API server's: a reader whose own clock is off would find everything stale. Leaves
out the reading (``survey``), and what is judged elsewhere: decisions on pods (``webhook.decide``), certificates of the
mesh (``identity.findings``).
"""

import dataclasses
import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from cryptography import exceptions, x509

from injector import names
from injector.cluster import model
from injector.cluster import protocols as spoken
from injector.discovery import proxies
from injector.identity import findings as identities
from injector.policy import book
from injector.webhook import certificate, configuration, decide
from injector.webhook import pod as pods
from ipseity import findings

Finding = findings.Finding
Status = findings.Status

_MOST_NAMED: Final = 3
_MOST_ROWS: Final = 5
_STALE_S: Final = 60.0
_SKEW_WARN_S, _SKEW_FAIL_S = 5.0, 20.0
"""A certificate is valid from 20 s before it was signed (``identity.ca``): beyond that, new ones are refused."""
_RENEWED_AT: Final = dt.timedelta(days=25)
"""The webhook's own certificate is renewed a month before its end."""
_LOG: Final = f"kubectl logs -n {names.SYSTEM_NAMESPACE} deploy/{names.CONTROL_PLANE}"
_RUNS: Final = f"is it running? kubectl get pods -n {names.SYSTEM_NAMESPACE}"
_START: Final = "ipseity install --only mesh"


def identity(found: Iterable[identities.Finding]) -> list[Finding]:
    """Tell what ``identity.findings`` found: one row if all is well, else one for each that is not."""
    seen = list(found)
    bad = [each for each in seen if each.level is not identities.Level.GOOD]
    if not bad:
        return [Finding(name="identity", status=Status.OK, text="; ".join(each.what for each in seen))]
    return [
        Finding(name="identity", status=Status(each.level.value), text=each.what, hint=each.remedy)
        for each in sorted(bad, key=lambda one: one.level is not identities.Level.BAD)
    ]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What came of creating a pod, annotated and as a dry run: the whole way, API server and webhook included."""

    injected: bool = False
    error: str = ""
    """What the API server said instead."""
    allowed: bool = True
    """False: this account may not try."""


def webhook(
    found: Mapping[str, Any] | None, serving: certificate.Pair | None, trial: Trial, *, now: dt.datetime
) -> list[Finding]:
    """Judge configuration, ``caBundle``, the certificate that is served (None: not made by us), and the trial."""
    if found is None:
        text = f"there is no MutatingWebhookConfiguration {configuration.NAME}: nothing is injected"
        return [_row("webhook", Status.FAIL, text, f"the control plane writes it: {_LOG}")]
    wanted = {each["name"] for each in configuration.render(configuration.Endpoint())["webhooks"]}
    missing = wanted - {each.get("name") for each in found.get("webhooks") or ()}
    trouble = []
    if missing:
        text = f"the configuration lacks {', '.join(sorted(missing))}"
        trouble.append(_row("webhook", Status.FAIL, text, f"the control plane writes it: {_LOG}"))
    trouble += _trust(configuration.bundle_of(found), serving, now)
    trouble += _tried(trial)
    if trouble:
        return trouble
    left = f", its certificate ends in {(certificate.expiry(serving) - now).days} days" if serving else ""
    tried = "answers" if trial.injected else "not tried: this account may not create pods"
    return [_row("webhook", Status.OK, f"{tried}; the API server trusts it{left}")]


def _trust(bundle_pem: bytes, serving: certificate.Pair | None, now: dt.datetime) -> list[Finding]:
    try:
        trusted = x509.load_pem_x509_certificates(bundle_pem) if bundle_pem else []
    except ValueError:
        trusted = []
    hint = f"delete the configuration, and the control plane writes it anew; {_LOG}"
    if not trusted:
        return [_row("webhook", Status.FAIL, "caBundle is missing, unreadable, or differs between webhooks", hint)]
    if all(each.not_valid_after_utc <= now for each in trusted):
        return [_row("webhook", Status.FAIL, "every certificate in caBundle has expired", hint)]
    return _served(serving, trusted, now, hint) if serving else []


def _served(
    serving: certificate.Pair, trusted: Sequence[x509.Certificate], now: dt.datetime, hint: str
) -> list[Finding]:
    (leaf, *_) = x509.load_pem_x509_certificates(serving.certificate_pem)
    left = leaf.not_valid_after_utc - now
    if not any(_signed(leaf, each) for each in trusted):
        return [_row("webhook", Status.FAIL, "caBundle does not contain who signed the certificate in use", hint)]
    if left <= dt.timedelta():
        return [_row("webhook", Status.FAIL, f"its certificate ended {-left.days} days ago", _LOG)]
    if left < _RENEWED_AT:
        return [_row("webhook", Status.WARN, f"its certificate ends in {left.days} days and was not renewed", _LOG)]
    return []


def _signed(leaf: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        leaf.verify_directly_issued_by(authority)
    except (ValueError, TypeError, exceptions.InvalidSignature):
        return False
    return True


def _tried(trial: Trial) -> list[Finding]:
    if trial.injected or not trial.allowed:
        return []
    if not trial.error:
        text = "a pod that asks for a sidecar gets none: the API server does not ask the webhook"
        return [_row("webhook", Status.FAIL, text, f"kubectl get mutatingwebhookconfiguration {configuration.NAME}")]
    return [_row("webhook", Status.FAIL, f"a pod that asks for a sidecar is refused: {trial.error}", _RUNS)]


def clocks(
    server_s: float, own_s: float, uncertain_s: float, told_s: Mapping[str, float], *, asked_s: float
) -> list[Finding]:
    """Compare clocks: the API server's with ours (give or take ``uncertain_s``), and with each control plane's.

    ``told_s`` is what each control plane's clock said when it last published, some time before ``asked_s`` (the API
    server's): it can be seen to be ahead, not to be behind.
    """
    offsets = {"this machine": _beyond(own_s - server_s, uncertain_s)}
    offsets |= {name: max(0.0, each - asked_s - uncertain_s) for name, each in told_s.items()}
    rows = []
    for name, off_s in offsets.items():
        if abs(off_s) < _SKEW_WARN_S:
            continue
        status = Status.FAIL if abs(off_s) >= _SKEW_FAIL_S else Status.WARN
        way = "ahead of" if off_s > 0 else "behind"
        text = f"{name} is {abs(off_s):.0f} s {way} the API server; certificates allow {_SKEW_FAIL_S:.0f} s"
        rows.append(_row("clocks", status, text, "run an NTP client there: timedatectl"))
    least = f"within {max(abs(own_s - server_s), uncertain_s):.1f} s of the API server's"
    return rows or [_row("clocks", Status.OK, least)]


def _beyond(off_s: float, uncertain_s: float) -> float:
    """Give how much of an offset is sure."""
    return max(0.0, off_s - uncertain_s) if off_s > 0 else min(0.0, off_s + uncertain_s)


def proxies_of(reports: Mapping[str, proxies.Report], *, now_s: float) -> list[Finding]:
    """Judge who has not accepted the latest configuration, and who is not connected at all."""
    live = {name: each for name, each in reports.items() if now_s - each.time_s <= _STALE_S}
    if not live:
        text = "no control plane says how its proxies are" + (" any more" if reports else "")
        return [_row("proxies", Status.FAIL, text, _RUNS)]
    troubled = [_troubled(each) for report in live.values() for each in report.named if each.state != "absent"]
    rows = [*troubled, *_absent(list(live.values()))]
    if rows:
        unnamed = sum(each.troubled for each in live.values()) - len(troubled)
        more = unnamed + len(rows[_MOST_ROWS:])
        return [*rows[:_MOST_ROWS], *([_row("proxies", Status.WARN, f"and {more} more", _LOG)] if more else [])]
    connected = sum(each.connected for each in live.values())
    latest = "all have the latest configuration" if connected else "so that none can be out of date"
    return [_row("proxies", Status.OK, f"{connected} connected, {latest}")]


def _troubled(each: proxies.Trouble) -> Finding:
    namespace, _, name = each.pod.partition("/")
    log = f"kubectl logs -n {namespace} {name} -c {names.PROXY}"
    match each.state:
        case "refusing":
            text = f"{each.pod} refuses its configuration since {each.for_s} s, and keeps the last good one"
            return _row("proxies", Status.FAIL, f"{text}: {each.reason}", log)
        case "unknown":
            text = f"{each.pod} is connected, and no pod of that name with that account is known"
            return _row("proxies", Status.WARN, text, _LOG)
        case _:
            return _row("proxies", Status.WARN, f"{each.pod} has not accepted a change for {each.for_s} s", log)


def _absent(live: Sequence[proxies.Report]) -> list[Finding]:
    """Name who is connected to no control plane. With several, each names those that are not connected to itself."""
    lists = [{one.pod for one in each.named if one.state == "absent"} for each in live]
    tags = [each.tags() for each in live]
    everywhere = [each for each in tags if each is not None]
    if len(everywhere) == len(live):
        lacking = frozenset.intersection(*everywhere)
        named, count = {one for one in set.union(*lists) if proxies.tag(one) in lacking}, len(lacking)
    else:  # too many to be told apart, or an older control plane: who is named by all
        named = set.intersection(*lists)
        count = live[0].absent if len(live) == 1 else len(named)
    if not count:
        return []
    text = "ready and not connected: what changes does not reach them"
    if not named:
        hint = f"compare: kubectl get pods -A -l {names.MESHED}=true; {_LOG}"
        return [_row("proxies", Status.WARN, f"{count} {'pod is' if count == 1 else 'pods are'} {text}", hint)]
    namespace, _, name = min(named).partition("/")
    hint = f"kubectl logs -n {namespace} {name} -c {names.PROXY}"
    return [_row("proxies", Status.WARN, f"{_several(sorted(named), count)} {text}", hint)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A pod that is not over, with what its namespace says."""

    namespace: str
    name: str
    pod: pods.Pod
    said: Mapping[str, str]


def injection(candidates: Iterable[Candidate], version: str) -> list[Finding]:
    """Find pods that should have a sidecar and have none, with why; and those with one of another version.

    ``version`` is the control plane's; empty: not known.
    """
    count = 0
    lacking: dict[tuple[str, str], list[str]] = {}
    older: list[str] = []
    for each in candidates:
        reference = f"{each.namespace}/{each.name}"
        if decide.is_injected(each.pod):
            count += 1
            if version and each.pod.annotations[names.INJECTED] != version:
                older.append(reference)
        elif (why := _why(each)) is not None:
            lacking.setdefault(why, []).append(reference)
    rows = [
        _row(
            "injection",
            Status.WARN,
            f"{_several(found)} annotated but not injected: {text}",
            hint.format(_place(found[0])),
        )
        for (text, hint), found in lacking.items()
    ]
    if older:
        text = f"{_several(sorted(older))} not of the control plane's version, {version}"
        rows.append(_row("proxies", Status.WARN, text, _restart(older[0])))
    return rows or [_row("injection", Status.OK, f"{count} pods injected, none that should be and is not")]


_RESTART: Final = "make the pods anew: kubectl rollout restart, or kubectl delete pod {}"
_MEND: Final = "remove the annotation, or what stands in its way; kubectl describe pod {}"


def _why(each: Candidate) -> tuple[str, str] | None:
    """Say why a pod without sidecar has none, and what to do; None: nobody asked for one."""
    match decide.decide(each.pod, each.namespace, each.said):
        case decide.Inject():
            return "created before it was annotated, or past the webhook", _RESTART
        case decide.Deny(message=message):
            return f"would be refused now: {message}".replace("{", "{{").replace("}", "}}"), _MEND
        case decide.Skip(reason=decide.Reason.EXEMPT_NAMESPACE as reason):
            asked = decide.ENABLED in (each.pod.annotations.get(names.INJECT), each.said.get(names.INJECT))
            return (decide.SENTENCES[reason], _MEND) if asked else None
        case decide.Skip(reason=reason, warnings=warnings):
            return (decide.SENTENCES[reason], _MEND) if warnings else None


def _place(reference: str) -> str:
    namespace, _, name = reference.partition("/")
    return f"-n {namespace} {name}"


def _restart(reference: str) -> str:
    return _RESTART.format(_place(reference))


def protocols(state: model.ClusterState) -> list[Finding]:
    """Name the Service ports, with meshed pods behind them, of which nobody has said what is spoken there.

    On these a client decides by what it says first, and in bytes it may write whatever header it likes. Looking once
    more at the server would not help: what a client is silent about for long enough must be carried as bytes, or
    protocols in which the server speaks first would not work.
    """
    meshed = {
        f"{service.key}:{port.port}": _is_said(state, service, port)
        for service in state.services.values()
        for port in service.ports
        if any(each.account for each in service.endpoints.get(port.name, ()))
    }
    unsaid = sorted(name for name, said in meshed.items() if not said)
    if not unsaid:
        return [_row("protocols", Status.OK, f"what is spoken is said of {len(meshed)} of {len(meshed)} meshed ports")]
    text = (
        f"{_several(unsaid)} said to speak nothing in particular, so the client's first bytes tell: a caller may have "
        "itself taken for bytes, and write x-forwarded-client-cert as it likes"
    )
    place = _place(unsaid[0].rpartition(":")[0])
    hint = f"name the port http if the application believes that header, else tcp: kubectl edit service {place}"
    return [_row("protocols", Status.WARN, text, hint)]


def annotations(warnings: Iterable[str]) -> list[Finding]:
    """Name Services whose annotations cannot be read, by what reading the cluster said; nothing where all can."""
    wrong = [each for each in warnings if each.startswith("Service ")]
    if not wrong:
        return []
    more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
    place = _place(wrong[0].removeprefix("Service ").partition(": ")[0])
    return [_row("balancing", Status.WARN, f"{wrong[0]}{more}", f"mend it: kubectl edit service {place}")]


def _is_said(state: model.ClusterState, service: model.Service, port: model.ServicePort) -> bool:
    """Ask as the server's proxy does: it is the one that writes the header."""
    behind = (
        (pod, each.port)
        for each in service.endpoints.get(port.name, ())
        if each.pod is not None and each.account and (pod := state.pods.get(each.pod)) is not None
    )
    return all(
        spoken.of_pod(pod, number, state.services_of(pod)) is not model.Protocol.DETECT for pod, number in behind
    )


def policies(entries: Iterable[book.Entry]) -> list[Finding]:
    """Name the policies that are not valid, and what is in force in their place."""
    seen = list(entries)
    bad = [each for each in seen if each.error]
    rows = [
        _row(
            "policies",
            Status.FAIL if each.origin is book.Origin.CLOSED else Status.WARN,
            f"AuthorizationPolicy {each.key}: {each.error}; {_IN_FORCE[each.origin]}",
            f"kubectl edit authorizationpolicies.{names.GROUP} -n {each.namespace} {each.name}",
        )
        for each in bad
    ]
    if len(rows) > _MOST_ROWS:
        more = _row(
            "policies", Status.WARN, f"and {len(rows) - _MOST_ROWS} more", "kubectl get authorizationpolicies -A"
        )
        return [*rows[:_MOST_ROWS], more]
    return rows or [_row("policies", Status.OK, f"{len(seen)} policies, all valid")]


_IN_FORCE: Final = {
    book.Origin.SPEC: "it is in force",
    book.Origin.KEPT: "its last valid version stays in force",
    book.Origin.CLOSED: "its last valid version is lost, so that it admits nobody",
    book.Origin.NONE: "it does nothing",
}


def no_policies() -> list[Finding]:
    """Say that the kind is not installed."""
    text = "this cluster does not know AuthorizationPolicy"
    return [_row("policies", Status.FAIL, text, _START)]


def unseen(name: str, error: Exception) -> list[Finding]:
    """Say that something could not be looked at."""
    text = f"cannot be looked at: {error}"
    return [_row(name, Status.WARN, text, getattr(error, "hint", "") or "ask with an account that may read it")]


def verdict(found: Sequence[Finding]) -> str:
    """Say in one sentence how the mesh is."""
    if failed := findings.names(found, Status.FAIL):
        return f"the mesh is not well: {failed}"
    if warned := findings.names(found, Status.WARN):
        return f"the mesh works, and needs a look: {warned}"
    return "the mesh is well"


def _several(found: Sequence[str], count: int = 0) -> str:
    """Name a few: "shop/a is", "shop/a and shop/b are", "shop/a, shop/b, shop/c and 4 more are"."""
    count = max(count, len(found))
    shown = list(found[:_MOST_NAMED])
    if count > len(shown):
        return f"{', '.join(shown)} and {count - len(shown)} more are"
    return f"{shown[0]} is" if count == 1 else f"{', '.join(shown[:-1])} and {shown[-1]} are"


def _row(name: str, status: Status, text: str, hint: str = "") -> Finding:
    return Finding(name=name, status=status, text=text, hint=hint)
