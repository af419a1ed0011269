"""Which filter chain takes a connection, as a tree of questions.

Here because the tree may change while chains stay: Envoy then keeps every connection of a chain whose content is the
same, so pods, ports and identities come and go without cutting others. Leaves out the chains.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from envoy.extensions.matching.common_inputs.network.v3 import network_inputs_pb2
from google.protobuf import wrappers_pb2
from xds.core.v3 import cidr_pb2, extension_pb2
from xds.type.matcher.v3 import ip_pb2, matcher_pb2

from injector.discovery import resource

_TRIE: Final = "envoy.matching.custom_matchers.trie_matcher"
Branch = str | Any
"""Name of a chain, or another Matcher."""


def by_port(branches: Mapping[int, Branch], otherwise: Branch | None) -> Any:
    """Ask for the port that the client means."""
    question = network_inputs_pb2.DestinationPortInput()
    return _by_text(question, {str(port): each for port, each in branches.items()}, otherwise)


def by_transport(branches: Mapping[str, Branch], otherwise: Branch | None) -> Any:
    """Ask whether the client began with TLS: ``tls``."""
    return _by_text(network_inputs_pb2.TransportProtocolInput(), branches, otherwise)


def by_protocol(branches: Mapping[str, Branch], otherwise: Branch | None) -> Any:
    """Ask for what the client offers in its handshake, or was seen to speak: ``http/1.1``. Exactly one, not a list."""
    question = network_inputs_pb2.ApplicationProtocolInput()
    return _by_text(question, {f"'{name}'": each for name, each in branches.items()}, otherwise)


def by_server_name(branches: Mapping[str, Branch], otherwise: Branch | None) -> Any:
    """Ask for the server name of the client's handshake."""
    return _by_text(network_inputs_pb2.ServerNameInput(), branches, otherwise)


def by_address(branches: Sequence[tuple[Sequence[str], Branch]], otherwise: Branch) -> Any:
    """Ask for the address that the client means. Each branch: addresses, and where they lead."""
    if not branches:
        return always(otherwise)
    ranges = [
        ip_pb2.IPMatcher.IPRangeMatcher(ranges=[_host(address) for address in addresses], on_match=_towards(branch))
        for addresses, branch in branches
    ]
    trie = extension_pb2.TypedExtensionConfig(
        name=_TRIE, typed_config=resource.typed(ip_pb2.IPMatcher(range_matchers=ranges))
    )
    tree = matcher_pb2.Matcher.MatcherTree(input=_input(network_inputs_pb2.DestinationIPInput()), custom_match=trie)
    return matcher_pb2.Matcher(matcher_tree=tree, on_no_match=_towards(otherwise))


def always(branch: Branch) -> Any:
    """Ask nothing."""
    return branch if not isinstance(branch, str) else matcher_pb2.Matcher(on_no_match=_towards(branch))


def _by_text(question: Any, branches: Mapping[str, Branch], otherwise: Branch | None) -> Any:
    """Ask for a text. Without an ``otherwise`` the connection is closed, and counted as without a chain."""
    if not branches:
        return always(otherwise)
    exact = matcher_pb2.Matcher.MatcherTree.MatchMap(
        map={text: _towards(branch) for text, branch in sorted(branches.items())}
    )
    tree = matcher_pb2.Matcher.MatcherTree(input=_input(question), exact_match_map=exact)
    return matcher_pb2.Matcher(matcher_tree=tree, on_no_match=None if otherwise is None else _towards(otherwise))


def _input(question: Any) -> Any:
    return extension_pb2.TypedExtensionConfig(name=question.DESCRIPTOR.name, typed_config=resource.typed(question))


def _towards(branch: Branch) -> Any:
    if not isinstance(branch, str):
        return matcher_pb2.Matcher.OnMatch(matcher=branch)
    chain = extension_pb2.TypedExtensionConfig(
        name=branch, typed_config=resource.typed(wrappers_pb2.StringValue(value=branch))
    )
    return matcher_pb2.Matcher.OnMatch(action=chain)


def _host(address: str) -> Any:
    bits = 128 if ":" in address else 32
    return cidr_pb2.CidrRange(address_prefix=address, prefix_len=wrappers_pb2.UInt32Value(value=bits))
