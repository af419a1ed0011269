"""Of IP-based policy."""
