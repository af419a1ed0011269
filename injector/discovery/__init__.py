"""The cluster and its policies as Envoy's configuration, served by delta ADS: what a proxy believes."""
