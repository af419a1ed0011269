"""What makes deploy/grafana/*.json: ``make dashboards``. Needs grafana-foundation-sdk, as nothing else does."""
