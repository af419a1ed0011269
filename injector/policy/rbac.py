"""A decision as Envoy's RBAC filters, as the names a certificate may have, and as what a refused client is told.

Here because Envoy must enforce what ``match`` says, no more and no less; a test judges both by the same connections.

Envoy's network filter judges a connection at its first byte from the client, so behind it a server that speaks first is
heard by everybody. ``client_names`` closes that: what it gives belongs in the validation context of the chain, and
refuses in the handshake. Leaves out the lines of what is refused (``accesslog``), chains and listeners (``discovery``).
"""

from collections.abc import Sequence
from typing import Final

from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.config.core.v3 import base_pb2, substitution_format_string_pb2
from envoy.config.rbac.v3 import rbac_pb2
from envoy.config.route.v3 import route_components_pb2
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2 as http_rbac_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2
from envoy.extensions.filters.network.rbac.v3 import rbac_pb2 as network_rbac_pb2
from envoy.type.matcher.v3 import path_pb2, string_pb2

from injector.policy import match, model
from ipseity import identity

HTTP_FILTER: Final = "envoy.filters.http.rbac"
NETWORK_FILTER: Final = "envoy.filters.network.rbac"
"""Names of the filters: their metadata stands under these, and ``accesslog`` reads it."""
DENIED_HEADER: Final = "x-ipseity-denied"
"""On a 403 of ours: one of match.Reason."""
STAT_PREFIX: Final = "inbound."
"""Of the network filter: ``inbound.rbac.denied``. The HTTP filter's counters stand below its connection manager's."""
AUDIT_PREFIX: Final = "audit."
"""Before what is only audited: ``audit.shadow_denied`` counts those that would be refused."""
MESHED_RULE: Final = "meshed"
PROBE_RULE: Final = "probe"
"""Names of rules that stand in no policy; those of policies are ``namespace/name/number``."""
_FORBIDDEN: Final = 403
_BODY_FOLLOWS: Final = ("content-length", "upgrade")
"""Headers after which HTTP/1 has bytes as the client wants them. A chunked body begins with a number of Envoy's, which
is no request line; HTTP/2 marks where a request ends."""

_Policies = dict[str, rbac_pb2.Policy]


def http(inbound: match.Inbound) -> http_rbac_pb2.RBAC | None:
    """Give the HTTP filter, which judges each request; None where nothing is refused and nothing audited.

    The same for chains with and without TLS: without, nobody has an identity, and where one is needed only probes pass.
    """
    enforced, audited = _both(inbound, inbound.probes)
    if enforced is None and audited is None:
        return None
    return http_rbac_pb2.RBAC(rules=enforced, shadow_rules=audited, shadow_rules_stat_prefix=AUDIT_PREFIX)


def only(probes: Sequence[match.Probe]) -> http_rbac_pb2.RBAC:
    """Give the HTTP filter of a chain for TLS without a client's certificate: probes pass, and nothing else.

    No other rule may stand there: for Envoy, whoever comes by TLS is authenticated, with a certificate or without.
    """
    return http_rbac_pb2.RBAC(rules=rbac_pb2.RBAC(action=rbac_pb2.RBAC.ALLOW, policies={PROBE_RULE: _probes(probes)}))


def network(inbound: match.Inbound) -> network_rbac_pb2.RBAC | None:
    """Give the network filter, for bytes that are not HTTP; None where nothing is refused and nothing audited."""
    enforced, audited = _both(inbound, ())
    return _network(enforced, audited)


def network_for(inbound: match.Inbound, who: identity.SpiffeId) -> network_rbac_pb2.RBAC | None:
    """Give the network filter of a chain that only one identity can reach: the same whatever is said of others.

    So a change of policy changes the chains of those whom it concerns, and Envoy cuts no other connection.
    """
    verdict = inbound.verdict(who)
    nobody = rbac_pb2.RBAC(action=rbac_pb2.RBAC.ALLOW)
    return _network(None if verdict.allowed else nobody, nobody if verdict.audited else None)


def client_names(inbound: match.Inbound) -> tuple[string_pb2.StringMatcher, ...] | None:
    """Give matchers of the SPIFFE IDs that are let in; None where any proven one is, () where nobody is.

    For the SAN matchers of a validation context, where an empty list would mean anybody: () is a chain to leave out.
    """
    admission = inbound.enforced
    if not admission.policies:
        return () if admission.default is match.Default.NOBODY else None
    sources: dict[model.Source, None] = {}
    for rule in admission.rules:
        if rule.sources is None:
            return None
        sources.update(dict.fromkeys(rule.sources))
    return tuple(_matcher(source) for source in sources)


def local_reply(inbound: match.Inbound, *, identified: bool) -> hcm_pb2.LocalReplyConfig:
    """Make a refused request be answered with 403 and the reason, in a header and in words; gRPC: PERMISSION_DENIED.

    ``identified``: of the chain in which clients have proven an identity, or of the one for plaintext.
    """
    reason = inbound.enforced.refusal(identified=identified)
    refused = accesslog_pb2.AccessLogFilter(
        status_code_filter=accesslog_pb2.StatusCodeFilter(
            comparison=accesslog_pb2.ComparisonFilter(
                op=accesslog_pb2.ComparisonFilter.EQ,
                value=base_pb2.RuntimeUInt32(default_value=_FORBIDDEN, runtime_key="ipseity.unset"),
            )
        )
    )
    body = substitution_format_string_pb2.SubstitutionFormatString(
        text_format_source=base_pb2.DataSource(inline_string=f"ipseity: refused: {reason}")
    )
    header = base_pb2.HeaderValueOption(
        header=base_pb2.HeaderValue(key=DENIED_HEADER, value=reason),
        append_action=base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD,
    )
    mapper = hcm_pb2.ResponseMapper(filter=refused, headers_to_add=[header], body_format_override=body)
    return hcm_pb2.LocalReplyConfig(mappers=[mapper])


def _both(inbound: match.Inbound, probes: Sequence[match.Probe]) -> tuple[rbac_pb2.RBAC | None, rbac_pb2.RBAC | None]:
    audited = _rules(inbound.audited, probes) if inbound.audited is not None else None
    return _rules(inbound.enforced, probes), audited


def _network(enforced: rbac_pb2.RBAC | None, audited: rbac_pb2.RBAC | None) -> network_rbac_pb2.RBAC | None:
    if enforced is None and audited is None:
        return None
    return network_rbac_pb2.RBAC(
        rules=enforced, shadow_rules=audited, shadow_rules_stat_prefix=AUDIT_PREFIX, stat_prefix=STAT_PREFIX
    )


def _rules(admission: match.Admission, probes: Sequence[match.Probe]) -> rbac_pb2.RBAC | None:
    """Give the rules of one admission; None where everybody is admitted."""
    if not admission.needs_identity:
        return None
    policies: _Policies = {}
    if not admission.policies and admission.default is match.Default.MESHED:
        policies[MESHED_RULE] = _policy(_ANYTHING, _ANYBODY_MESHED)
    for rule in admission.rules:
        if rule.sources != ():  # Envoy refuses a policy without principals, and this one admits nobody
            principals = _ANYBODY_MESHED if rule.sources is None else [_principal(source) for source in rule.sources]
            policies[f"{rule.policy}/{rule.number}"] = _policy(_ANYTHING, principals)
    if probes:
        policies[PROBE_RULE] = _probes(probes)
    return rbac_pb2.RBAC(action=rbac_pb2.RBAC.ALLOW, policies=policies)


def _policy(permissions: Sequence[rbac_pb2.Permission], principals: Sequence[rbac_pb2.Principal]) -> rbac_pb2.Policy:
    return rbac_pb2.Policy(permissions=permissions, principals=principals)


_ANYTHING: Final = (rbac_pb2.Permission(any=True),)
_ANYBODY_MESHED: Final = (rbac_pb2.Principal(authenticated=rbac_pb2.Principal.Authenticated()),)
"""Whoever came with a certificate; the chain's validation context says which are accepted."""


def _principal(source: model.Source) -> rbac_pb2.Principal:
    return rbac_pb2.Principal(authenticated=rbac_pb2.Principal.Authenticated(principal_name=_matcher(source)))


def _matcher(source: model.Source) -> string_pb2.StringMatcher:
    match source:
        case model.Account():
            return string_pb2.StringMatcher(exact=str(source.spiffe_id))
        case model.Namespace():
            return string_pb2.StringMatcher(prefix=source.prefix)


def _probes(probes: Sequence[match.Probe]) -> rbac_pb2.Policy:
    return _policy([_probe(probe) for probe in probes], [rbac_pb2.Principal(any=True)])


def _probe(probe: match.Probe) -> rbac_pb2.Permission:
    """Let a probe through, and nothing in its shadow.

    The kubelet's GET has no body. Many servers do not read one, and take it for the next request on the connection:
    that one nobody has judged.
    """
    path = path_pb2.PathMatcher(path=string_pb2.StringMatcher(exact=probe.path))
    method = route_components_pb2.HeaderMatcher(
        name=":method", string_match=string_pb2.StringMatcher(exact=probe.method)
    )
    all_of = [rbac_pb2.Permission(url_path=path), rbac_pb2.Permission(header=method)]
    if probe.method == "GET":
        absent = (
            route_components_pb2.HeaderMatcher(name=name, present_match=True, invert_match=True)
            for name in _BODY_FOLLOWS
        )
        all_of += [rbac_pb2.Permission(header=each) for each in absent]
    return rbac_pb2.Permission(and_rules=rbac_pb2.Permission.Set(rules=all_of))
