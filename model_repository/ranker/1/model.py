"""Triton's edge of the rankers in Python: calls `packrank_backend.ranker.cpu_ranker` or `torch_ranker`."""

import json
from pathlib import Path

import triton_python_backend_utils as pb_utils

from packrank_backend.build_record import require_same_build
from packrank_backend.errors import InvalidRequest
from packrank_backend.packing import packed_from_tensors
from packrank_backend.triton.errors import error_response
from packrank_backend.triton.tensors import array_from_tensor, tensor_from_array


class TritonPythonModel:
    """input_ids INT32 [1, T], seq_lens INT32 [1, K], max_len_carrier INT32 [1, M] -> logits FP32 [1, K]."""

    def initialize(self, args):
        """Load the published model on the runtime that the config names."""
        directory = Path(args["model_repository"], args["model_version"])
        configured = json.loads(args["model_config"])["parameters"]
        parameters = {name: value["string_value"] for name, value in configured.items()}
        load = _torch_ranker if parameters.get("runtime") == "torch" else _cpu_ranker
        self.ranker = load(directory, parameters, args)
        require_same_build(self.ranker.record, directory.parents[1] / "tokenizer" / args["model_version"])

    def execute(self, requests):
        """Score all merged requests together; a refused request leaves the others alone."""
        checked = [self._packed(request) for request in requests]
        accepted = [packed for packed in checked if not isinstance(packed, InvalidRequest)]
        scored = iter(self.ranker.answers(accepted) if accepted else [])
        answers = [packed if isinstance(packed, InvalidRequest) else next(scored) for packed in checked]
        return [
            error_response(answer)
            if isinstance(answer, InvalidRequest)
            else pb_utils.InferenceResponse([tensor_from_array("logits", answer[None])])
            for answer in answers
        ]

    def _packed(self, request):
        try:
            names = ("input_ids", "seq_lens", "max_len_carrier")
            packed = packed_from_tensors(*(array_from_tensor(request, name) for name in names))
            self.ranker.check(packed)
        except InvalidRequest as error:
            return error
        return packed


def _cpu_ranker(directory, parameters, _args):
    # Imported here: only the runtime that is used is loaded, and PyTorch need not be installed.
    from packrank_backend.ranker.cpu_ranker import published_ranker  # noqa: PLC0415

    return published_ranker(
        directory,
        threads=int(parameters["threads"]),
        max_run_tokens=int(parameters["max_run_tokens"]),
        max_attention_bytes=int(parameters["max_attention_bytes"]),
    )


def _torch_ranker(directory, parameters, args):
    from packrank_backend.ranker.torch_ranker import published_ranker  # noqa: PLC0415

    ranker = published_ranker(
        directory,
        precision=parameters["precision"],
        max_run_tokens=int(parameters["max_run_tokens"]),
        gpu=int(args["model_instance_device_id"]) if args["model_instance_kind"] == "GPU" else None,
    )
    ranker.warm_up()
    pb_utils.Logger.log_info(f"ranker: {ranker.sentence()}")
    return ranker
