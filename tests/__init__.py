"""Tests by level (unit, contract, golden, sim, functional, bench, repo), and what they stand on.

That is ``fakes``, ``vectors`` (recorded input), ``scene`` (namespaces, cgroups, clones) and ``traffic`` (who sends).
"""
