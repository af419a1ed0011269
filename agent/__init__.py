"""The node agent: kernel evidence -> identity -> metrics, flow log, API. The map is docs/architecture.md."""
