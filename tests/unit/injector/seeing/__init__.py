"""Unit tests of injector.seeing."""
