"""``make test-cluster``: whether this version works on a given cluster, with real clients, and what to do where not.

Here because no lab is a real API server, kubelet or network. Knows Kubernetes only: nothing of the lab is imported, no
storage, network plug-in or node is assumed, and images are parameters. Makes namespaces of its own and installs
Ipseity; takes all of it out again, also after a failure or Ctrl-C.

``record`` what came of a check; ``checks`` what a check is; ``ground`` the cluster as checks see it; ``workloads`` what
runs there; ``subjects`` the checks; ``programs`` what runs in pods; ``suite`` plays them in order.
"""
