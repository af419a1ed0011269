"""Tests of the comparison that need root, a lab, or a browser."""
