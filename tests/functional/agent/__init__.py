"""The agent on a real kernel, as root."""
