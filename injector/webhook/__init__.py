"""Injection: an AdmissionReview becomes a JSON patch, a reason not to, or a refusal."""
