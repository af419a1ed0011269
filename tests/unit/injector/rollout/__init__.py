"""Unit tests of injector.rollout."""
