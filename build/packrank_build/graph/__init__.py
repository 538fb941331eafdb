"""The packed ONNX graph, the reference and the parity gate between them."""
