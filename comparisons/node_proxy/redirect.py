"""What leads a pod's TCP to its node's proxy: one nftables table in the pod's own network namespace. Pure.

Loaded as soon as the namespace is there, before the proxy listens: until then a connection is refused, and none passes
by. Its two ports cannot be called directly, lest the proxy call itself without end. What the proxy itself sends there
carries a mark, which takes CAP_NET_ADMIN. Leaves out UDP.
"""

from typing import Final

OUTBOUND, INBOUND = 15001, 15006
MARK: Final = 0x539
TABLE: Final = "ipseity_node_proxy"


def ruleset() -> str:
    """Write the table; loading it again changes nothing."""
    return f"""\
add table inet {TABLE}
delete table inet {TABLE}
table inet {TABLE} {{
  chain guard_output {{
    type filter hook output priority mangle; policy accept;
    oifname "lo" ct direction original tcp dport {{ {OUTBOUND}, {INBOUND} }} reject with tcp reset
  }}
  chain guard {{
    type filter hook prerouting priority mangle; policy accept;
    iifname != "lo" ct direction original tcp dport {{ {OUTBOUND}, {INBOUND} }} reject with tcp reset
  }}
  chain output {{
    type nat hook output priority -100; policy accept;
    meta mark {MARK} return
    oifname "lo" return
    meta l4proto tcp redirect to :{OUTBOUND}
  }}
  chain prerouting {{
    type nat hook prerouting priority dstnat; policy accept;
    iifname "lo" return
    meta l4proto tcp redirect to :{INBOUND}
  }}
}}
"""
