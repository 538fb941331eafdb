"""Checkpoint -> packed ONNX graph -> parity gate -> model repository."""
