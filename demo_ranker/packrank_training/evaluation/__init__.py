"""Sets to evaluate on, and `make evaluate`."""
