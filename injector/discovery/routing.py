"""RDS of a Service port that routes apply to: their rules as Envoy's, in the order in which they are tried.

    routing.route("shop/web", rules, port=80)

Here because what a rule means is said in one place for all proxies. What was never begun is tried again as everywhere;
what a rule itself wants tried again goes by the priority HIGH, for which every cluster has a budget (``clusters``). A
backend that is not there has its share of the requests still, and they fail: with 500, in gRPC with UNAVAILABLE. Leaves
out which rules apply (``routes.attach``).
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from envoy.config.core.v3 import base_pb2
from envoy.config.route.v3 import route_components_pb2 as parts
from envoy.type.matcher.v3 import regex_pb2, string_pb2
from envoy.type.v3 import percent_pb2
from google.protobuf import duration_pb2, wrappers_pb2

from injector.discovery import counted, http, naming, resource
from injector.routes import attach, model, paths

_RETRY_ON: Final = "reset,retriable-status-codes"
_WHOLE: Final = "^.+$"
_MILLION: Final = 1_000_000
_WELL_KNOWN: Final = {"http": 80, "https": 443}
_STATUSES: Final = {
    301: parts.RedirectAction.MOVED_PERMANENTLY,
    302: parts.RedirectAction.FOUND,
    303: parts.RedirectAction.SEE_OTHER,
    307: parts.RedirectAction.TEMPORARY_REDIRECT,
    308: parts.RedirectAction.PERMANENT_REDIRECT,
}
_SET: Final = base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
_ADD: Final = base_pb2.HeaderValueOption.APPEND_IF_EXISTS_OR_ADD


def route(key: str, rules: attach.Rules, *, port: int) -> resource.Resource:
    """Make the resource of a Service port. ``key``: ``namespace/name``; ``port``: the one that clients use."""
    name = naming.service(port, key)
    made = [_entry(each, port) for each in rules]
    bound = [each.bound for each in rules]
    needed = {_cluster(to.port) for each in bound for to in each.targets if to.port is not None}
    needed |= {_cluster(to) for each in bound for _, to in each.mirrors}
    configuration = http.configuration(name, made, metadata=counted.parent(key, port))
    return resource.pack(name, configuration, [(resource.CLUSTER, each) for each in needed])


def _entry(entry: attach.Entry, port: int) -> Any:
    bound = entry.bound
    return parts.Route(
        match=_match(entry.match, bound.kind),
        metadata=_written(bound),
        **_modified(bound.rule),
        **_does(entry, port),
    )


def _written(bound: attach.Bound) -> Any:
    """Say where a rule is written, for what is counted."""
    origin = bound.origin
    return counted.of(
        {
            "route_kind": bound.kind.value,
            "route_namespace": origin.namespace,
            "route_name": origin.name,
            "route_rule": str(origin.number),
        }
    )


def _does(entry: attach.Entry, port: int) -> dict[str, Any]:
    """Say what becomes of a request."""
    bound, prefix = entry.bound, entry.match.path[1] if entry.match.path is not None else "/"
    failure = 500 if bound.kind is model.Kind.HTTP else 503
    if bound.rule.redirect is not None:
        return {"redirect": _redirect(bound.rule.redirect, prefix, port)}
    if not sum(each.backend.weight for each in bound.targets):
        return {"direct_response": parts.DirectResponseAction(status=failure)}
    return {"route": _forwarded(bound, prefix)}


def _forwarded(bound: attach.Bound, prefix: str) -> Any:
    rule = bound.rule
    missing = parts.RouteAction.INTERNAL_SERVER_ERROR if bound.kind is model.Kind.HTTP else None
    shares = [
        parts.WeightedCluster.ClusterWeight(
            name=naming.NOWHERE if each.port is None else _cluster(each.port),
            weight=wrappers_pb2.UInt32Value(value=each.backend.weight),
            **_headers(each.backend.request, each.backend.response),
        )
        for each in bound.targets
    ]
    rewrite = rule.rewrite or model.Rewrite()
    return http.action(
        _retry(rule),
        weighted_clusters=parts.WeightedCluster(clusters=shares),
        cluster_not_found_response_code=missing,
        timeout=_seconds(rule.request_s or 0),
        priority=base_pb2.HIGH if rule.retry is not None else base_pb2.DEFAULT,
        host_rewrite_literal=rewrite.hostname,
        regex_rewrite=None if rewrite.path is None else _new_path(rewrite.path, prefix),
        request_mirror_policies=[_mirror(*each) for each in bound.mirrors],
    )


def _match(match: model.Match, kind: model.Kind) -> Any:
    headers = [_header(each) for each in match.headers]
    if match.method:
        headers.append(parts.HeaderMatcher(name=":method", string_match=string_pb2.StringMatcher(exact=match.method)))
    found = parts.RouteMatch(
        headers=headers,
        query_parameters=[
            parts.QueryParameterMatcher(name=each.name, string_match=_text(each.text)) for each in match.query
        ],
        **(_path(match) if kind is model.Kind.HTTP else _call(match)),
    )
    if kind is model.Kind.GRPC:
        found.grpc.SetInParent()
    return found


def _path(match: model.Match) -> dict[str, Any]:
    match match.path:
        case None | (model.PathKind.PREFIX, "/"):
            return {"prefix": "/"}
        case (model.PathKind.PREFIX, str(prefix)):
            return {"path_separated_prefix": prefix}
        case (model.PathKind.EXACT, str(path)):
            return {"path": path}
        case (_, pattern):
            return {"safe_regex": regex_pb2.RegexMatcher(regex=pattern)}


def _call(match: model.Match) -> dict[str, Any]:
    """Match the path of a gRPC call: ``/package.Service/Method``."""
    service, call = match.service, match.call
    if service is None and call is None:
        return {"prefix": "/"}
    if service is not None and not service.regex and (call is None or not call.regex):
        return {"prefix": f"/{service.value}/"} if call is None else {"path": f"/{service.value}/{call.value}"}
    return {"safe_regex": regex_pb2.RegexMatcher(regex=paths.call(service, call))}


def _header(named: model.Named) -> Any:
    return parts.HeaderMatcher(name=named.name, string_match=_text(named.text))


def _text(text: model.Text) -> Any:
    if text.regex:
        return string_pb2.StringMatcher(safe_regex=regex_pb2.RegexMatcher(regex=text.value))
    return string_pb2.StringMatcher(exact=text.value)


def _modified(rule: model.Rule) -> dict[str, Any]:
    return _headers(rule.request, rule.response)


def _headers(request: model.Headers, response: model.Headers) -> dict[str, Any]:
    return {
        "request_headers_to_add": _added(request),
        "request_headers_to_remove": request.remove,
        "response_headers_to_add": _added(response),
        "response_headers_to_remove": response.remove,
    }


def _added(headers: model.Headers) -> list[Any]:
    return [_value(*each, _SET) for each in headers.set] + [_value(*each, _ADD) for each in headers.add]


def _value(name: str, value: str, how: Any) -> Any:
    """Give a header as it is written; a percent sign would begin one of Envoy's own variables."""
    header = base_pb2.HeaderValue(key=name, value=value.replace("%", "%%"))
    return base_pb2.HeaderValueOption(header=header, append_action=how)


def _redirect(redirect: model.Redirect, prefix: str, port: int) -> Any:
    said = parts.RedirectAction(
        scheme_redirect=redirect.scheme, host_redirect=redirect.hostname, response_code=_STATUSES[redirect.status]
    )
    there = redirect.port or _WELL_KNOWN.get(redirect.scheme) or port
    implied = there == _WELL_KNOWN[redirect.scheme or "http"]
    # Without a port of ours that of the request's host stays, where the host stays.
    if not implied or (not redirect.hostname and port != _WELL_KNOWN["http"]):
        said.port_redirect = there
    if redirect.path is not None and redirect.path.prefix:
        said.regex_rewrite.CopyFrom(_new_path(redirect.path, prefix))
    elif redirect.path is not None:
        said.path_redirect = redirect.path.value
    return said


def _new_path(new: model.NewPath, prefix: str) -> Any:
    pattern, substitution = paths.replaced(prefix, new.value) if new.prefix else (_WHOLE, paths.escaped(new.value))
    return regex_pb2.RegexMatchAndSubstitute(pattern=regex_pb2.RegexMatcher(regex=pattern), substitution=substitution)


def _mirror(mirror: model.Mirror, to: tuple[str, int]) -> Any:
    share = percent_pb2.FractionalPercent(
        numerator=round(_MILLION * mirror.numerator / mirror.denominator),
        denominator=percent_pb2.FractionalPercent.MILLION,
    )
    return parts.RouteAction.RequestMirrorPolicy(
        cluster=_cluster(to),
        runtime_fraction=base_pb2.RuntimeFractionalPercent(default_value=share),
        disable_shadow_host_suffix_append=True,
    )


def _retry(rule: model.Rule) -> Any:
    policy = http.retry()
    if rule.backend_s:
        policy.per_try_timeout.CopyFrom(_seconds(rule.backend_s))
    if rule.retry is not None and rule.retry.attempts:
        policy.retry_on = f"{policy.retry_on},{_RETRY_ON}"
        policy.num_retries.value = rule.retry.attempts
        policy.retriable_status_codes.extend(rule.retry.codes)
        if rule.retry.backoff_s is not None:
            base = _seconds(max(rule.retry.backoff_s, 0.001))
            policy.retry_back_off.CopyFrom(parts.RetryPolicy.RetryBackOff(base_interval=base))
    return policy


def _seconds(seconds: float) -> Any:
    found = duration_pb2.Duration()
    found.FromMilliseconds(round(seconds * 1000))
    return found


def _cluster(port: tuple[str, int]) -> str:
    key, number = port
    return naming.service(number, key)


def referred(configuration: Any) -> Iterable[str]:
    """Give the clusters that a route configuration leads to, without the one that is never there."""
    for host in configuration.virtual_hosts:
        for each in host.routes:
            if each.HasField("route"):
                yield from _referred(each.route)


def _referred(action: Any) -> Sequence[str]:
    shares = [each.name for each in action.weighted_clusters.clusters] or [action.cluster]
    return [name for name in shares if name != naming.NOWHERE] + [
        each.cluster for each in action.request_mirror_policies
    ]
