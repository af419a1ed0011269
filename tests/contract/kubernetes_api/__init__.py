"""What a Kubernetes API server must do for us, whichever it is."""
