"""Triton's edge of the CPU ranker: calls `packrank_backend.cpu_ranker`."""

import json
from pathlib import Path

import triton_python_backend_utils as pb_utils

from packrank_backend.build_record import require_same_build
from packrank_backend.cpu_ranker import published_ranker
from packrank_backend.errors import InvalidRequest
from packrank_backend.packing import packed_from_tensors
from packrank_backend.triton.errors import error_response
from packrank_backend.triton.tensors import array_from_tensor, tensor_from_array


class TritonPythonModel:
    """input_ids INT32 [1, T], seq_lens INT32 [1, K], max_len_carrier INT32 [1, M] -> logits FP32 [1, K]."""

    def initialize(self, args):
        """Load the published ONNX model."""
        directory = Path(args["model_repository"], args["model_version"])
        parameters = json.loads(args["model_config"])["parameters"]
        self.ranker = published_ranker(
            directory,
            threads=int(parameters["threads"]["string_value"]),
            max_run_tokens=int(parameters["max_run_tokens"]["string_value"]),
            max_attention_bytes=int(parameters["max_attention_bytes"]["string_value"]),
        )
        require_same_build(self.ranker.record, directory.parents[1] / "tokenizer" / args["model_version"])

    def execute(self, requests):
        """Score all merged requests together; a refused request leaves the others alone."""
        checked = [self._packed(request) for request in requests]
        accepted = [packed for packed in checked if not isinstance(packed, InvalidRequest)]
        scored = iter(self.ranker.logits(accepted) if accepted else [])
        return [
            error_response(answer)
            if isinstance(answer, InvalidRequest)
            else pb_utils.InferenceResponse([tensor_from_array("logits", next(scored)[None])])
            for answer in checked
        ]

    def _packed(self, request):
        try:
            packed = packed_from_tensors(
                array_from_tensor(request, "input_ids"), array_from_tensor(request, "seq_lens")
            )
            self.ranker.check(packed)
        except InvalidRequest as error:
            return error
        return packed
