"""The chart against Kubernetes' schemas, the code that it starts, and the tools that read it."""
