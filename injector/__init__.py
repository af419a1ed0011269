"""The mesh control plane and the sidecar's own process; see docs/architecture.md for the rooms."""
