"""Triton's edge of NIM's answer: calls `packrank_backend.nim_tensors`."""

import triton_python_backend_utils as pb_utils

from packrank_backend.nim_tensors import nim_ranking
from packrank_backend.triton.tensors import array_from_tensor, tensor_from_array


class TritonPythonModel:
    """logits FP32 [1, N], token_counts INT32 [1, N] -> index INT32 [N, 1], logit FP32 [N, 1], token_count INT32 [N]."""

    def execute(self, requests):
        """Sort each request's logits."""
        return [self._response(request) for request in requests]

    @staticmethod
    def _response(request):
        ranking = nim_ranking(array_from_tensor(request, "logits"), array_from_tensor(request, "token_counts"))
        return pb_utils.InferenceResponse([tensor_from_array(name, array) for name, array in vars(ranking).items()])
