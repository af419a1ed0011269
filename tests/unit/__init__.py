"""One file per module, no root, no network beyond loopback."""
