"""What is spoken between a sidecar and the identity service, as protobuf.

``identity.proto`` is the source; the rest is generated from it by ``make proto`` and committed, so that running the
mesh needs no compiler. Leaves out xDS: its messages come with the ``xds-protos`` distribution.
"""
