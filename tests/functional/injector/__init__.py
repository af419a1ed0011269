"""What the mesh does to a real kernel, a real Envoy and real processes. Needs root."""
