"""What this project claims, one file per claim; each measures on this machine and says whether the claim holds.

A claim is a module with a function ``prove() -> verdict.Verdict`` and a docstring whose first line is the claim.
Leaves out how things are staged (``tests.scene``) and who sends (``tests.traffic``).
"""
