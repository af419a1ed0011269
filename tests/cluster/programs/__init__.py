"""What runs in pods, given as text to the image's own Python. The standard library alone, but where one says more."""
