"""``python -m comparisons.ip_policy``: the same as ``ipseity ip-policy``, whatever is on the PATH."""

import sys

from ipseity import cli

if __name__ == "__main__":
    sys.exit(cli.run(["ip-policy", *sys.argv[1:]]))
