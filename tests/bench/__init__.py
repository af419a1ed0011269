"""``make bench``: what the agent costs, beside the same work without it, and beside a well-known tool.

``load.c`` makes the load, ``stage`` the place for it, ``contenders`` who watches it, ``costs`` reads what that takes;
``__main__`` interleaves rounds (A B A B) and prints medians. Run it on a quiet machine: noise on a shared one is 5 %.
"""
