"""Tests of the identity service, file by file."""
