"""What is made of a cluster's own flows, whole."""
