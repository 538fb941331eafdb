"""Finds, starts, watches and stops tritonserver."""
