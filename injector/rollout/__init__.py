"""Progressive delivery: moves the weights of an HTTPRoute from one version to another, and back if that one is bad."""
