"""Routes of the Gateway API for traffic within the cluster: what they say, to whom they apply, how they stand."""
