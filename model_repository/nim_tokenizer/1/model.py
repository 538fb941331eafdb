"""Triton's edge of NIM's request: tensors in, the tokenizer's own code, tensors out."""

import json
from pathlib import Path

import triton_python_backend_utils as pb_utils
from tokenizers import Tokenizer

from packrank_backend.build_record import read_build_record, require_same_build
from packrank_backend.errors import InvalidRequest
from packrank_backend.nim_tensors import question_from_nim_tensors
from packrank_backend.packing import pack
from packrank_backend.pairs import PairLimits, encode_questions
from packrank_backend.triton_errors import error_response
from packrank_backend.triton_tensors import tensor_from_array, texts_from_tensor


class TritonPythonModel:
    """query BYTES [1 or N, 1], passage BYTES [N, 1] -> input_ids INT32 [1, T], seq_lens INT32 [1, N], longest."""

    def initialize(self, args):
        """Load the tokenizer that was published with the ranker."""
        version, repository = args["model_version"], Path(args["model_repository"]).parent
        directory = repository / "tokenizer" / version
        record = read_build_record(directory)
        require_same_build(record, repository / "ranker" / version)
        parameters = json.loads(args["model_config"])["parameters"]
        self.limits = PairLimits(
            max_pair_tokens=record.max_pair_tokens,
            max_passages=int(parameters["max_passages"]["string_value"]),
            max_request_tokens=int(parameters["max_request_tokens"]["string_value"]),
            max_request_frames=int(parameters["max_request_frames"]["string_value"]),
        )
        self.tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))

    def execute(self, requests):
        """Triton hands over one request at a time: NIM's tensors have no batch dimension to merge along."""
        return [self._response(request) for request in requests]

    def _response(self, request):
        try:
            question = question_from_nim_tensors(
                texts_from_tensor(request, "query"), texts_from_tensor(request, "passage"), request.parameters()
            )
        except InvalidRequest as error:
            return error_response(error)
        (answer,) = encode_questions(self.tokenizer, [question], self.limits)
        if isinstance(answer, InvalidRequest):
            return error_response(answer)
        packed = pack(answer.ids)
        tensors = {"input_ids": packed.input_ids, "seq_lens": packed.seq_lens, "longest": packed.longest}
        return pb_utils.InferenceResponse([tensor_from_array(name, rows[None]) for name, rows in tensors.items()])
