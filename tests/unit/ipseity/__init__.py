"""Tests of the vocabulary and the front door."""
