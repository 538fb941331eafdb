"""Triton's tensors and errors. Importable only inside Triton's Python backend."""
