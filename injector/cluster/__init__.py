"""What the cluster is, as the mesh needs it: watch events become one immutable ``model.ClusterState``."""
