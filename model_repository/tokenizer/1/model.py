"""Triton's edge of the tokenizer: calls `packrank_backend.text.pairs`."""

import time
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

from packrank_backend.build_record import read_build_record, require_same_build
from packrank_backend.deadlines import deadline_after
from packrank_backend.errors import InvalidRequest
from packrank_backend.packing import pack
from packrank_backend.text.load_tokenizer import load_tokenizer
from packrank_backend.text.pairs import encode_questions
from packrank_backend.text.question import limits_from_config
from packrank_backend.text.request_texts import question_from_tensors
from packrank_backend.triton.errors import error_response
from packrank_backend.triton.tensors import tensor_from_array, texts_from_tensor


class TritonPythonModel:
    """query BYTES [1, 1], passages BYTES [1, K] -> the tensors of `packrank_backend.packing`, each with a leading 1.

    Also untruncated_token_counts INT32 [1, K], each pair's tokens before it was cut, and tokenised_ns INT64 [1, 2],
    when tokenising began and ended (time.monotonic_ns).
    """

    def initialize(self, args):
        """Load the tokenizer that was published with the ranker."""
        directory = Path(args["model_repository"], args["model_version"])
        record = read_build_record(directory)
        require_same_build(record, directory.parents[1] / "ranker" / args["model_version"])
        self.limits = limits_from_config(args["model_config"], record.max_pair_tokens)
        self.tokenizer = load_tokenizer(directory / "tokenizer.json", args["model_config"])

    def execute(self, requests):
        """Tokenise all merged requests together; a refused request leaves the others alone."""
        began_ns = time.monotonic_ns()
        questions = [self._question(request, began_ns) for request in requests]
        accepted = [question for question in questions if not isinstance(question, InvalidRequest)]
        encoded = iter(encode_questions(self.tokenizer, accepted, self.limits))
        answers = [q if isinstance(q, InvalidRequest) else next(encoded) for q in questions]
        tokenised_ns = np.array([began_ns, time.monotonic_ns()], np.int64)
        return [self._response(answer, tokenised_ns) for answer in answers]

    @staticmethod
    def _question(request, began_ns):
        try:
            return question_from_tensors(
                texts_from_tensor(request, "query"),
                texts_from_tensor(request, "passages"),
                request.parameters(),
                deadline_after(request.timeout(), began_ns),
            )
        except InvalidRequest as error:
            return error

    @staticmethod
    def _response(answer, tokenised_ns):
        if isinstance(answer, InvalidRequest):
            return error_response(answer)
        tensors = {
            **pack(answer.ids, answer.deadline).tensors(),
            "untruncated_token_counts": np.array(answer.untruncated_token_counts, np.int32),
            "tokenised_ns": tokenised_ns,
        }
        return pb_utils.InferenceResponse([tensor_from_array(name, rows[None]) for name, rows in tensors.items()])
