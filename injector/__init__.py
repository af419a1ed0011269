"""The mesh control plane; see docs/architecture.md for what is planned here. Empty until then, on purpose."""
