"""HTTP as it passes: what the manager of a chain and a route say. Next to nothing is changed on the way.

Here because inbound and outbound must treat a message alike: no time limit of ours, WebSocket upgrades let through,
HTTP/2 stays HTTP/2, the case of HTTP/1 header names is kept. Two headers are touched: ``x-forwarded-client-cert`` says
who the client proved to be, so nobody but this proxy may write it, in any spelling; ``x-forwarded-proto: http`` is
added where nobody has said it (Envoy has no switch for that). Leaves out who is admitted (``policy``) and where the
listeners are.
"""

import dataclasses
import enum
import itertools
from collections.abc import Sequence
from typing import Any, Final

from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.config.core.v3 import address_pb2, base_pb2, config_source_pb2, protocol_pb2
from envoy.config.core.v3 import extension_pb2 as core_extension_pb2
from envoy.config.listener.v3 import listener_components_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2
from envoy.extensions.http.header_formatters.preserve_case.v3 import preserve_case_pb2
from envoy.extensions.retry.host.previous_hosts.v3 import previous_hosts_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2
from envoy.type.matcher.v3 import string_pb2
from google.protobuf import duration_pb2, wrappers_pb2

from injector.discovery import resource

MANAGER: Final = "envoy.filters.network.http_connection_manager"
PROTOCOL_OPTIONS: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_ROUTER: Final = "envoy.filters.http.router"
UNDELIVERED: Final = "x-ipseity-undelivered"
"""From the server's proxy to the client's: the application has not begun with this request, try another endpoint."""
_RETRY_ON: Final = "connect-failure,refused-stream,reset-before-request"
"""Only what the other end has certainly not begun to do: safe for every method."""
_SAFE_METHODS: Final = ("GET", "HEAD", "OPTIONS")
"""RFC 9110, 9.2.1: to do it twice is to do it once."""
_RETRIES: Final = 2
_CLIENT_CERT: Final = ("x", "forwarded", "client", "cert")
LOOKALIKES: Final = tuple(
    sorted(
        "".join(part for pair in zip(_CLIENT_CERT, (*joints, ""), strict=True) for part in pair)
        for joints in itertools.product("-_", repeat=len(_CLIENT_CERT) - 1)
        if "_" in joints
    )
)
"""Other headers than ``x-forwarded-client-cert``, and the same to whoever turns names into variables (CGI, WSGI)."""
_HEADERS_KIB: Final = 96
"""Largest request header. Envoy's default is 60; tokens of some identity providers are larger."""
_HOST_OF_NONE: Final = "localhost"
"""For requests of HTTP/1.0 that name no host, such as those of old health checks: Envoy would refuse them."""
_UNLIMITED: Final = duration_pb2.Duration()


class ClientCert(enum.Enum):
    """What becomes of ``x-forwarded-client-cert``."""

    DROPPED = "dropped"
    """Nobody has proven anything here, so nobody may say it."""
    WRITTEN = "written"
    """Says whom the certificate names."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Extras:
    """What a chain adds to the plain way."""

    filters: tuple[tuple[str, Any], ...] = ()
    """Name and message of HTTP filters before the router."""
    local_reply: Any = None
    logs: tuple[Any, ...] = ()


def manager(stat_prefix: str, route: Any, client_cert: ClientCert, extras: Extras | None = None) -> Any:
    """Give the network filter. ``route``: a RouteConfiguration, or the name of one that comes by RDS."""
    extras = extras or Extras()
    written = client_cert is ClientCert.WRITTEN
    chosen = {"rds": _rds(route)} if isinstance(route, str) else {"route_config": route}
    message = hcm_pb2.HttpConnectionManager(
        stat_prefix=stat_prefix,
        codec_type=hcm_pb2.HttpConnectionManager.AUTO,
        http_filters=[
            *(hcm_pb2.HttpFilter(name=name, typed_config=resource.typed(each)) for name, each in extras.filters),
            hcm_pb2.HttpFilter(
                name=_ROUTER, typed_config=resource.typed(router_pb2.Router(suppress_envoy_headers=True))
            ),
        ],
        forward_client_cert_details=(
            hcm_pb2.HttpConnectionManager.SANITIZE_SET if written else hcm_pb2.HttpConnectionManager.SANITIZE
        ),
        set_current_client_cert_details=(
            hcm_pb2.HttpConnectionManager.SetCurrentClientCertDetails(uri=True) if written else None
        ),
        upgrade_configs=[hcm_pb2.HttpConnectionManager.UpgradeConfig(upgrade_type="websocket")],
        use_remote_address=wrappers_pb2.BoolValue(value=False),
        skip_xff_append=True,
        generate_request_id=wrappers_pb2.BoolValue(value=False),
        server_header_transformation=hcm_pb2.HttpConnectionManager.PASS_THROUGH,
        normalize_path=wrappers_pb2.BoolValue(value=False),
        stream_idle_timeout=_UNLIMITED,
        http_protocol_options=_http1(),
        http2_protocol_options=_http2(),
        max_request_headers_kb=wrappers_pb2.UInt32Value(value=_HEADERS_KIB),
        local_reply_config=extras.local_reply,
        access_log=extras.logs,
        **chosen,
    )
    return listener_components_pb2.Filter(name=MANAGER, typed_config=resource.typed(message))


def routes(
    name: str, cluster: str, *, application: bool = False, without: Sequence[str] = (), metadata: Any = None
) -> Any:
    """Give a route configuration that sends everything to one cluster, and tries again what was never begun."""
    everything = route_components_pb2.Route(
        match=route_components_pb2.RouteMatch(prefix="/"), route=action(retry(application=application), cluster=cluster)
    )
    return configuration(name, [everything], without=without, metadata=metadata)


def configuration(name: str, entries: Sequence[Any], *, without: Sequence[str] = (), metadata: Any = None) -> Any:
    """Give a route configuration of routes.

    ``without``: request headers that are taken out. ``metadata``: what is counted of what was called.
    """
    host = route_components_pb2.VirtualHost(name="all", domains=["*"], routes=entries, metadata=metadata)
    return route_pb2.RouteConfiguration(
        name=name,
        virtual_hosts=[host],
        validate_clusters=wrappers_pb2.BoolValue(value=False),
        request_headers_to_remove=without,
        response_headers_to_remove=[UNDELIVERED],  # only proxies may say it, and only to each other
    )


def action(policy: Any, **said: Any) -> Any:
    """Give the action of a route without limits of ours; ``said`` says where to, and what else it does."""
    return route_components_pb2.RouteAction(
        **{"timeout": _UNLIMITED, "idle_timeout": _UNLIMITED, "retry_policy": policy, **said}
    )


def retry(*, application: bool = False) -> Any:
    """Give the retry policy of what was never begun.

    ``application``: behind it is the pod's own application and no proxy. Its word on delivery is not taken: it has the
    request by then, and may only be passing on what somebody else's server said.
    """
    said = () if application else (route_components_pb2.HeaderMatcher(name=UNDELIVERED, present_match=True),)
    return route_components_pb2.RetryPolicy(
        retry_on=_RETRY_ON if application else f"{_RETRY_ON},retriable-headers",
        num_retries=wrappers_pb2.UInt32Value(value=_RETRIES),
        retry_host_predicate=[
            route_components_pb2.RetryPolicy.RetryHostPredicate(
                name="envoy.retry_host_predicates.previous_hosts",
                typed_config=resource.typed(previous_hosts_pb2.PreviousHostsPredicate()),
            )
        ],
        host_selection_retry_max_attempts=3,
        retriable_headers=said,
    )


def undelivered(said: Any = None) -> Any:
    """Give the local replies of a server's proxy: those in ``said``, and a mark on what the application never got.

    A pod that ends stops listening before everybody has learned that it ends. Its proxy is still there, and knows: a
    connection that was refused (UF) has carried nothing; one that was closed unanswered (UC) is tried again where the
    method is safe.
    """
    refused = _flagged("UF")
    closed = accesslog_pb2.AccessLogFilter(
        and_filter=accesslog_pb2.AndFilter(
            filters=[
                _flagged("UC"),
                accesslog_pb2.AccessLogFilter(
                    or_filter=accesslog_pb2.OrFilter(filters=[_method(each) for each in _SAFE_METHODS])
                ),
            ]
        )
    )
    header = base_pb2.HeaderValueOption(header=base_pb2.HeaderValue(key=UNDELIVERED, value="1"))
    marks = [hcm_pb2.ResponseMapper(filter=each, headers_to_add=[header]) for each in (refused, closed)]
    return hcm_pb2.LocalReplyConfig(mappers=[*(said.mappers if said is not None else ()), *marks])


def _flagged(flag: str) -> Any:
    return accesslog_pb2.AccessLogFilter(response_flag_filter=accesslog_pb2.ResponseFlagFilter(flags=[flag]))


def _method(name: str) -> Any:
    matcher = route_components_pb2.HeaderMatcher(name=":method", string_match=string_pb2.StringMatcher(exact=name))
    return accesslog_pb2.AccessLogFilter(header_filter=accesslog_pb2.HeaderFilter(header=matcher))


def upstream(idle_s: float) -> Any:
    """Give the options of a cluster: the protocol is the client's. ``idle_s``: unused connections are closed after."""
    message = http_protocol_options_pb2.HttpProtocolOptions(
        common_http_protocol_options=protocol_pb2.HttpProtocolOptions(
            idle_timeout=duration_pb2.Duration(seconds=int(idle_s))
        ),
        use_downstream_protocol_config=http_protocol_options_pb2.HttpProtocolOptions.UseDownstreamHttpConfig(
            http_protocol_options=_http1(), http2_protocol_options=_http2()
        ),
    )
    return resource.typed(message)


def socket(address: str, port: int) -> Any:
    """Give an address."""
    return address_pb2.Address(socket_address=address_pb2.SocketAddress(address=address, port_value=port))


def ads() -> Any:
    """Say that something comes by the same stream; nothing is served before it has come."""
    return config_source_pb2.ConfigSource(
        ads=config_source_pb2.AggregatedConfigSource(),
        resource_api_version=config_source_pb2.V3,
        initial_fetch_timeout=duration_pb2.Duration(),
    )


def _rds(name: str) -> Any:
    return hcm_pb2.Rds(config_source=ads(), route_config_name=name)


def _http1() -> Any:
    as_sent = core_extension_pb2.TypedExtensionConfig(
        name="preserve_case", typed_config=resource.typed(preserve_case_pb2.PreserveCaseFormatterConfig())
    )
    return protocol_pb2.Http1ProtocolOptions(
        accept_http_10=True,
        default_host_for_http_10=_HOST_OF_NONE,
        allow_custom_methods=True,
        enable_trailers=True,
        header_key_format=protocol_pb2.Http1ProtocolOptions.HeaderKeyFormat(stateful_formatter=as_sent),
    )


def _http2() -> Any:
    return protocol_pb2.Http2ProtocolOptions(allow_connect=True)  # WebSocket over HTTP/2, RFC 8441
