"""Triton's custom batching strategy: batches limited by tokens."""
