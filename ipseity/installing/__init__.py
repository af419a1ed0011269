"""``ipseity install``, ``upgrade`` and ``uninstall``: the manifests of this version, into a cluster and out of it."""
