"""The two texts that everything else in a pod hangs on."""
