"""How the client speaks to Triton: tensors, limits, statuses, TLS."""
