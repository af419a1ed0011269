"""``make scale``: what a cluster larger than this machine does to the parts of ipseity that see all of it.

One module for each half: it has ``figures()``, which measures and yields every figure beside its aim. Real processes of
ours, real protocols, simulated clusters. Run it on a quiet machine.
"""
