"""A refused request -> Triton's error response. Importable only inside Triton's Python backend."""

from __future__ import annotations

from typing import Any

import triton_python_backend_utils as pb_utils

from packrank_backend.errors import REFUSALS, InvalidRequest

# gRPC's name of a status -> the name of Triton's constant, which Triton adds to the module only after importing us
_CONSTANTS = {"INVALID_ARGUMENT": "INVALID_ARG"}


def error_response(error: InvalidRequest) -> Any:
    """The response of one refused request, with the gRPC code of the error table."""
    code = getattr(pb_utils.TritonError, _CONSTANTS[REFUSALS[error.kind].grpc_code])
    return pb_utils.InferenceResponse(output_tensors=[], error=pb_utils.TritonError(str(error), code))
