"""Formats that others read, held against what they are."""
