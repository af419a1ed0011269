"""What needs root and a real kernel."""
