"""Tests of the mesh, by feature."""
