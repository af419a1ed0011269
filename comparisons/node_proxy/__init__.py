"""A proxy for each node that holds the keys of its pods: the model of Istio's ztunnel, of our parts, to compare with.

Pods have nothing of it inside. Their TCP is redirected, in their own network namespaces, to listeners that the node's
Envoy has there; it speaks mTLS as the calling pod to the other node's, which judges by the identity that was proven.
"""
