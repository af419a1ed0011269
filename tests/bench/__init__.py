"""``make bench``: what the agent and the mesh cost, beside the same work without them, and beside the tools of others.

Of the agent: ``load.c`` makes the load, ``stage`` the place for it, ``contenders`` who watches it, ``costs`` reads
what that takes, ``figures`` has the limits. Of the mesh: ``mesh_load.c`` and ``mesh_stage`` make requests,
``mesh_static`` is whom they are compared with; ``mesh_plane``, ``mesh_server``, ``mesh_callers``, ``light_proxies``,
``light_crowds`` and ``crowd`` are for the control plane; the limits are in ``mesh_latency`` and ``mesh_control``,
those of routes in ``route_latency`` and ``route_control``. Rounds are interleaved (A B A B) and medians printed. Run
it on a quiet machine: noise on a shared one is 5 %.
"""
