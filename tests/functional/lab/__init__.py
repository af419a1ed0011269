"""Tests of the lab that need root: real namespaces, cgroups and containers."""
