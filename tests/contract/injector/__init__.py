"""The mesh against an API server."""
