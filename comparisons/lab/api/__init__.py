"""A small Kubernetes API server: what a real client needs to run the lab without a cluster; state in memory.

Read in this order: ``kinds`` and ``shapes`` (what exists), ``store`` (one revision counter, objects, events),
``registry`` (what create, update and delete mean), ``patching`` and ``applying`` (how a change is stated),
``listing``, ``watching``, ``tables`` (how it is read), ``server`` (HTTP). Its behaviour is pinned by
``tests/contract/kubernetes_api``, which runs against any API server.

Who asks is ``authenticator``'s (``tokens``, ``token_request``, ``reviews``, ``access``): service account tokens as on a
real cluster, and the admin's. Leaves out authorization (whoever is somebody may do everything), versions other than
the stored one, and protobuf.
Who else is asked before a write is ``admission``'s (``hooks`` decides, ``admission_review`` says, ``calling`` asks).
Custom kinds would be more rows in ``kinds.Kinds``.
"""
