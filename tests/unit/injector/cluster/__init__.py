"""Tests of the cluster picture: objects, protocols, index."""
