"""Bytes as they pass: the filters of a chain that does not look inside. Leaves out where the listeners are."""

from collections.abc import Sequence
from typing import Any, Final

from envoy.config.core.v3 import substitution_format_string_pb2
from envoy.config.core.v3.base_pb2 import DataSource
from envoy.config.listener.v3 import listener_components_pb2
from envoy.extensions.filters.common.set_filter_state.v3 import value_pb2
from envoy.extensions.filters.network.set_filter_state.v3 import set_filter_state_pb2
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2
from google.protobuf import duration_pb2, wrappers_pb2

from injector import names
from injector.discovery import resource

PROXY: Final = "envoy.filters.network.tcp_proxy"
_STATE: Final = "envoy.filters.network.set_filter_state"
_ALPN: Final = "envoy.network.application_protocols"
"""Filter state that takes precedence over what the cluster would offer in its handshake (Envoy: well known objects)."""
_ATTEMPTS: Final = 3


def proxy(stat_prefix: str, cluster: str, logs: Sequence[Any] = ()) -> Any:
    """Give the network filter that carries bytes to a cluster; another endpoint is tried where one does not answer."""
    message = tcp_proxy_pb2.TcpProxy(
        stat_prefix=stat_prefix,
        cluster=cluster,
        idle_timeout=duration_pb2.Duration(),  # a database connection may be silent for a day
        max_connect_attempts=wrappers_pb2.UInt32Value(value=_ATTEMPTS),
        access_log=logs,
    )
    return listener_components_pb2.Filter(name=PROXY, typed_config=resource.typed(message))


def marked() -> Any:
    """Give the filter that makes a handshake to a meshed endpoint offer bytes and not HTTP."""
    text = substitution_format_string_pb2.SubstitutionFormatString(
        text_format_source=DataSource(inline_string=names.ALPN_TCP)
    )
    message = set_filter_state_pb2.Config(
        on_new_connection=[value_pb2.FilterStateValue(object_key=_ALPN, format_string=text)]
    )
    return listener_components_pb2.Filter(name=_STATE, typed_config=resource.typed(message))
