"""Golden files of the mesh."""
