"""What a TensorRT plan, its server and its GPU must agree on."""
