"""Who a workload is, proven: a pod's token and key become a short-lived certificate with one SPIFFE ID in it."""
