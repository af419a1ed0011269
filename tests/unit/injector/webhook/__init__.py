"""Tests of the injection webhook, file by file."""
