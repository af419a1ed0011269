"""Unit tests of injector.routes."""
