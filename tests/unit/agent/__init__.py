"""Tests of the agent, file by file."""
