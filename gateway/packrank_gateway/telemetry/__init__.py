"""Metrics, traces, log lines, and the record of each request that feeds them."""
