"""The vocabulary and the front door: what at least two of the programs need and none of them owns."""
