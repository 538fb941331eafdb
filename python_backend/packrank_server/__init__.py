"""Finds, starts, watches and restarts tritonserver."""
