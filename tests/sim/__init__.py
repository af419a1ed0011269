"""State machines over the real code: random histories, compared with a simple truth."""
