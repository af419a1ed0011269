"""EDS: the endpoints of a Service port, and whom to expect at each.

Here because this is what changes most: an endpoint's bytes are made once and joined, so a change in a Service of ten
thousand costs a copy. An endpoint that is ending is left out while others are ready: Envoy then finishes what runs on
its connections and starts nothing new. Leaves out which address is whose (``cluster.index``).
"""

import functools
from collections.abc import Iterable
from typing import Final

from envoy.config.core.v3 import base_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2

from injector.cluster import model
from injector.discovery import clusters, counted, http, resource

_VARINT_BITS: Final = 7


def assignment(name: str, endpoints: Iterable[model.Endpoint], *, secured_only: bool = False) -> resource.Resource:
    """Make the resource under the name that the cluster asks for. ``secured_only``: no endpoint without mTLS."""
    found = [each for each in serving(endpoints) if each.account is not None or not secured_only]
    locality = b"".join(_wrapped(b"\x12", _endpoint(each)) for each in found)
    # cluster_name = 1, endpoints = 2; in it lb_endpoints = 2: the wire form of repeated fields is their concatenation.
    body = _wrapped(b"\x0a", name.encode()) + _wrapped(b"\x12", locality)
    return resource.of_bytes(name, body)


def serving(endpoints: Iterable[model.Endpoint]) -> tuple[model.Endpoint, ...]:
    """Choose the ready ones; where none is, those that end but still serve."""
    every = tuple(endpoints)
    return tuple(each for each in every if not each.draining) or every


def _endpoint(endpoint: model.Endpoint) -> bytes:
    return _bytes(endpoint.address, endpoint.port, endpoint.account, endpoint.workload)


@functools.lru_cache(maxsize=1 << 15)
def _bytes(address: str, port: int, account: object, workload: str) -> bytes:
    said = counted.endpoint(workload, secured=account is not None)
    message = endpoint_components_pb2.LbEndpoint(
        endpoint=endpoint_components_pb2.Endpoint(address=http.socket(address, port)),
        metadata=base_pb2.Metadata(
            filter_metadata={**said.filter_metadata, clusters.METADATA: clusters.marked(account)}  # type: ignore[arg-type]  # lru_cache asks for Hashable
        ),
    )
    made: bytes = message.SerializeToString(deterministic=True)
    return made


def _wrapped(tag: bytes, payload: bytes) -> bytes:
    """Encode one length-delimited field."""
    return tag + _varint(len(payload)) + payload


def _varint(number: int) -> bytes:
    found = bytearray()
    while number >> _VARINT_BITS:
        found.append(number & 0x7F | 0x80)
        number >>= _VARINT_BITS
    found.append(number)
    return bytes(found)
