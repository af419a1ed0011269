"""Tests of what the mesh asks of Kubernetes."""
