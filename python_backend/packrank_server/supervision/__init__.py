"""Keeps child processes alive, and leaves nothing of them behind."""
