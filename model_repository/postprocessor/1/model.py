"""Triton's edge of the postprocessor: logits in, `packrank_backend.sigmoid`, scores out."""

import triton_python_backend_utils as pb_utils

from packrank_backend.sigmoid import sigmoid
from packrank_backend.triton_tensors import array_from_tensor, tensor_from_array


class TritonPythonModel:
    """logits FP32 [1, K] -> scores FP32 [1, K]."""

    def execute(self, requests):
        """Turn each request's logits into scores."""
        return [
            pb_utils.InferenceResponse([tensor_from_array("scores", sigmoid(array_from_tensor(request, "logits")))])
            for request in requests
        ]
