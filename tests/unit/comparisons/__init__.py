"""Tests of what a comparison makes of what it found: no lab, no root."""
