"""The IP-based contender: NetworkPolicy as nftables, done as well as the best network plugins do it.

    with contender.start(node, kubeconfig, strict=True, gate=True) as agent:
        agent.delays()      what has been enforced so far, and how long after it was heard

Here so that a comparison with it is fair; docs/network-policy.md says what it does, and what it cannot do.
"""
