"""Pods and what the webhook answers."""
