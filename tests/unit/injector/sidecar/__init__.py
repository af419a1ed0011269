"""The sidecar's parts, each alone and without root."""
