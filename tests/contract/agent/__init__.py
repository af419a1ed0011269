"""The agent's formats: flow record, metrics, command line."""
