"""A node in a box: pods are real network namespaces, cgroups and containers, on one kernel and without a cluster.

Here because what the agent claims can only be checked where pods come and go by the hundred and the truth is known.
Leaves out images, storage drivers and everything of a kubelet that no flow can tell apart; docs/limitations.md has
the list.
"""
