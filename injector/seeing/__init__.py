"""What the proxies have counted: golden metrics by workload, and who talks to whom with which proof."""
