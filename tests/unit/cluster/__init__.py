"""The suite for clusters, itself: without one."""
