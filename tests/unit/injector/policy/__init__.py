"""Unit tests of injector.policy."""
