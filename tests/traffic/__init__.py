"""Programs that talk and say exactly what they did: the truth that counts are compared with.

Standard library only, so that they run in any pod, namespace or emulated machine. ``plan`` says what is to
happen, ``client`` does it, ``server`` answers, both report a ``tally``.
Leaves out where they run (``tests.scene``, the lab).
"""
