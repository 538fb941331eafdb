"""Metrics, traces and request records."""
