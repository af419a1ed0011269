"""Who may call whom: AuthorizationPolicy objects, the verdict on one connection, and the same verdict for Envoy."""
