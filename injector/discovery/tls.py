"""Transport sockets: mTLS 1.3 with this pod's certificate, to or from exactly whom it may be.

Here because this is where identity becomes cryptography. A client is told whom to expect (one SPIFFE ID) and says who
it is twice: in the certificate, and in the server name, by which the server finds the chain of that identity before
the certificate has been seen. A lie in the server name leads to a chain whose certificate check fails. Sessions are
not resumed: each connection proves both ends anew, so a rotated anchor or a shorter life counts at once. Leaves out
the files themselves (``sidecar``).
"""

from collections.abc import Sequence
from typing import Any, Final

from envoy.config.core.v3 import base_pb2, config_source_pb2
from envoy.extensions.transport_sockets.raw_buffer.v3 import raw_buffer_pb2
from envoy.extensions.transport_sockets.tls.v3 import common_pb2, secret_pb2, tls_pb2
from envoy.type.matcher.v3 import string_pb2
from google.protobuf import wrappers_pb2

from injector import names
from injector.discovery import resource, settings
from injector.sidecar import files
from ipseity import identity

_TLS: Final = "envoy.transport_sockets.tls"
_RAW: Final = "envoy.transport_sockets.raw_buffer"
_VERSION: Final = common_pb2.TlsParameters(
    tls_minimum_protocol_version=common_pb2.TlsParameters.TLSv1_3,
    tls_maximum_protocol_version=common_pb2.TlsParameters.TLSv1_3,  # Envoy's own as a client is 1.2
)


def server_name(tag: str) -> str:
    """Give the server name that a caller with a tag offers; see ``tag``."""
    return f"{tag}.ipseity"


def tag(who: identity.SpiffeId) -> str:
    """Give the 16 characters that stand for an identity in a server name."""
    return f"{identity.identity_tag(who):016x}"


def plaintext() -> Any:
    """Give the socket that adds nothing."""
    return base_pb2.TransportSocket(name=_RAW, typed_config=resource.typed(raw_buffer_pb2.RawBuffer()))


def client(expected: identity.SpiffeId, config: settings.Settings) -> Any:
    """Give the socket to endpoints of one identity. It offers HTTP; a chain for bytes offers ``names.ALPN_TCP``."""
    common = _common(config, (_exactly(expected),))
    common.alpn_protocols.append(names.ALPN_HTTP)
    context = tls_pb2.UpstreamTlsContext(
        common_tls_context=common,
        sni=server_name(resource.HOLE),
        max_session_keys=wrappers_pb2.UInt32Value(value=0),
    )
    return base_pb2.TransportSocket(name=_TLS, typed_config=resource.typed(context))


def server(accepted: Sequence[string_pb2.StringMatcher], config: settings.Settings) -> Any:
    """Give the socket for clients whose SPIFFE ID one of some matchers accepts; there must be one.

    No protocol is chosen in the handshake: what a client offers is only a marker, and HTTP/2 is seen by its preface.
    """
    context = tls_pb2.DownstreamTlsContext(
        common_tls_context=_common(config, accepted),
        require_client_certificate=wrappers_pb2.BoolValue(value=True),
        disable_stateless_session_resumption=True,
        disable_stateful_session_resumption=True,
    )
    return base_pb2.TransportSocket(name=_TLS, typed_config=resource.typed(context))


def probed(config: settings.Settings) -> Any:
    """Give the socket for whoever looks at nobody's certificate and has none, as the kubelet with HTTPS probes."""
    certificate = [_secret(files.WORKLOAD, config.sds_workload, config)]
    common = tls_pb2.CommonTlsContext(tls_params=_VERSION, tls_certificate_sds_secret_configs=certificate)
    context = tls_pb2.DownstreamTlsContext(
        common_tls_context=common, disable_stateless_session_resumption=True, disable_stateful_session_resumption=True
    )
    return base_pb2.TransportSocket(name=_TLS, typed_config=resource.typed(context))


def application() -> Any:
    """Give the socket to the pod's own application, whose certificate is not looked at: nor does the kubelet."""
    version = common_pb2.TlsParameters(
        tls_minimum_protocol_version=common_pb2.TlsParameters.TLSv1_2,
        tls_maximum_protocol_version=common_pb2.TlsParameters.TLSv1_3,
    )
    context = tls_pb2.UpstreamTlsContext(common_tls_context=tls_pb2.CommonTlsContext(tls_params=version))
    return base_pb2.TransportSocket(name=_TLS, typed_config=resource.typed(context))


def only(who: identity.SpiffeId) -> tuple[string_pb2.StringMatcher, ...]:
    """Accept one identity."""
    return (_exactly(who),)


def anybody(trust_domain: identity.TrustDomain) -> tuple[string_pb2.StringMatcher, ...]:
    """Accept whoever has an identity of the trust domain."""
    return (string_pb2.StringMatcher(prefix=f"spiffe://{trust_domain}/"),)


def _exactly(who: identity.SpiffeId) -> string_pb2.StringMatcher:
    return string_pb2.StringMatcher(exact=str(who))


def _common(config: settings.Settings, accepted: Sequence[string_pb2.StringMatcher]) -> Any:
    if not accepted:
        raise ValueError("a validation context without names would accept every certificate")
    by_uri = [
        common_pb2.SubjectAltNameMatcher(san_type=common_pb2.SubjectAltNameMatcher.URI, matcher=each)
        for each in accepted
    ]
    validation = tls_pb2.CommonTlsContext.CombinedCertificateValidationContext(
        default_validation_context=common_pb2.CertificateValidationContext(match_typed_subject_alt_names=by_uri),
        validation_context_sds_secret_config=_secret(files.TRUST, config.sds_trust, config),
    )
    return tls_pb2.CommonTlsContext(
        tls_params=_VERSION,
        tls_certificate_sds_secret_configs=[_secret(files.WORKLOAD, config.sds_workload, config)],
        combined_validation_context=validation,
    )


def _secret(name: str, path: str, config: settings.Settings) -> Any:
    source = config_source_pb2.ConfigSource(
        path_config_source=config_source_pb2.PathConfigSource(
            path=path, watched_directory=base_pb2.WatchedDirectory(path=config.workload_dir)
        ),
        resource_api_version=config_source_pb2.V3,
    )
    return secret_pb2.SdsSecretConfig(name=name, sds_config=source)
