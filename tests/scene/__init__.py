"""The stage on which proofs, benchmarks and functional tests play: clones, network namespaces, cgroups.

Everything made here is removed here, also after a failure. Leaves out what is said on the stage (``tests.traffic``).
"""
