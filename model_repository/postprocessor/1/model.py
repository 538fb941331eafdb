"""Triton's edge of the postprocessor: calls `packrank_backend.sigmoid` and `stage_times`."""

import time

import triton_python_backend_utils as pb_utils

from packrank_backend.sigmoid import sigmoid
from packrank_backend.stage_times import stage_times_us
from packrank_backend.triton.tensors import array_from_tensor, tensor_from_array


class TritonPythonModel:
    """ranker_logits FP32, seq_lens and untruncated_seq_lens INT32 [1, K], tokenised_ns INT64 [1, 2] ->

    scores and logits FP32, token_counts and untruncated_token_counts INT32 [1, K], stage_times_us INT32 [1, 2].
    """

    def execute(self, requests):
        """Turn each request's logits into scores."""
        ranked_ns = time.monotonic_ns()
        return [self._response(request, ranked_ns) for request in requests]

    @staticmethod
    def _response(request, ranked_ns):
        logits = array_from_tensor(request, "ranker_logits")
        tensors = {
            "scores": sigmoid(logits),
            "logits": logits,
            "token_counts": array_from_tensor(request, "seq_lens"),
            "untruncated_token_counts": array_from_tensor(request, "untruncated_seq_lens"),
            "stage_times_us": stage_times_us(array_from_tensor(request, "tokenised_ns"), ranked_ns),
        }
        return pb_utils.InferenceResponse([tensor_from_array(name, array) for name, array in tensors.items()])
