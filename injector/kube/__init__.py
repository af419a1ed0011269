"""What the mesh asks of Kubernetes and writes to it, over ``ipseity.kube``'s client: raw JSON, no model classes."""
