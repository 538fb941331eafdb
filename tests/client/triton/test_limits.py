from __future__ import annotations

from typing import Any

import pytest
from tritonclient.grpc import service_pb2

from packrank_client import ServerFault
from packrank_client._triton.limits import Limits, limits_from_config


def config(**parameters: str) -> Any:
    response = service_pb2.ModelConfigResponse()
    for name, value in parameters.items():
        response.config.parameters[name].string_value = value
    return response


def test_limits_are_parameters_of_the_tokenizer() -> None:
    response = config(max_passages="512", max_request_tokens="16384")
    assert limits_from_config(response) == Limits(512, 16384)
    assert limits_from_config(response, max_passages=4) == Limits(4, 16384)


def test_a_limit_that_is_given_need_not_be_there() -> None:
    assert limits_from_config(config(max_passages="8"), max_request_tokens=99) == Limits(8, 99)


@pytest.mark.parametrize("value", [None, "", "0", "-3", "many", "1e3"])
def test_a_limit_that_makes_no_sense_is_the_servers_fault(value: str | None) -> None:
    parameters = {} if value is None else {"max_request_tokens": value}
    with pytest.raises(ServerFault, match="max_request_tokens"):
        limits_from_config(config(max_passages="8", **parameters))
