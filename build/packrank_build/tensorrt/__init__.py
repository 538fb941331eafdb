"""TensorRT engines: targets, build, gate."""
