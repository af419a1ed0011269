"""The C programs and their ABI, as data: nothing here runs in Python. One row per program in README.md."""
