"""Generated input before the mesh: what must hold whatever comes."""
