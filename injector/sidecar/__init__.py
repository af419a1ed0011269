"""The sidecar: what is put into a pod, and the process that runs there."""
