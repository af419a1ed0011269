"""What stands in for the world: one file per fake."""
