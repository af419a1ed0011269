"""Tests of discovery: snapshots, sessions, service."""
