"""Triton's edge of NIM's request: calls the same code as the tokenizer."""

import time
from pathlib import Path

import triton_python_backend_utils as pb_utils

from packrank_backend.build_record import read_build_record, require_same_build
from packrank_backend.deadlines import deadline_after
from packrank_backend.errors import InvalidRequest
from packrank_backend.nim_tensors import question_from_nim_tensors
from packrank_backend.packing import pack
from packrank_backend.text.load_tokenizer import load_tokenizer
from packrank_backend.text.pairs import encode_questions
from packrank_backend.text.question import limits_from_config
from packrank_backend.triton.errors import error_response
from packrank_backend.triton.tensors import tensor_from_array, texts_from_tensor


class TritonPythonModel:
    """query BYTES [1 or N, 1], passage BYTES [N, 1] -> the tensors of `packrank_backend.packing`, with a leading 1."""

    def initialize(self, args):
        """Load the tokenizer that was published with the ranker."""
        version, repository = args["model_version"], Path(args["model_repository"]).parent
        directory = repository / "tokenizer" / version
        record = read_build_record(directory)
        require_same_build(record, repository / "ranker" / version)
        self.limits = limits_from_config(args["model_config"], record.max_pair_tokens)
        self.tokenizer = load_tokenizer(directory / "tokenizer.json", args["model_config"])

    def execute(self, requests):
        """Tokenise one request at a time: NIM's tensors have no batch dimension along which Triton could merge."""
        return [self._response(request) for request in requests]

    def _response(self, request):
        try:
            question = question_from_nim_tensors(
                texts_from_tensor(request, "query"),
                texts_from_tensor(request, "passage"),
                request.parameters(),
                deadline_after(request.timeout(), time.monotonic_ns()),
            )
        except InvalidRequest as error:
            return error_response(error)
        (answer,) = encode_questions(self.tokenizer, [question], self.limits)
        if isinstance(answer, InvalidRequest):
            return error_response(answer)
        tensors = pack(answer.ids, answer.deadline).tensors()
        return pb_utils.InferenceResponse([tensor_from_array(name, rows[None]) for name, rows in tensors.items()])
