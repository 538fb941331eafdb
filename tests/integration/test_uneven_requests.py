import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from packrank_client import RerankClient
from packrank_server.tritonserver import TritonServer
from tests.support.raw_request import ask

SHORT = [f"passage {number}" for number in range(128)]
LONG = " word" * 3000


def test_one_long_pair_among_many_is_refused_with_the_reason(server: TritonServer) -> None:
    """Their 129 x 1024 rows are more than any engine reserves memory for, though their tokens are few."""
    with pytest.raises(InferenceServerException) as caught:
        ask(server.grpc_endpoint, b"why?", [LONG.encode(), *(text.encode() for text in SHORT)], {"truncate": "END"})
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"
    facts = '{"pairs":129,"longest":1024,"limit":131072}'
    sentence = "the request has 129 pairs, the longest of 1024 tokens"
    assert f"too_many_tokens {facts}: {sentence}" in caught.value.message()
    assert "pairs x longest is 131072" in caught.value.message()


def test_the_client_splits_it_by_itself(client: RerankClient) -> None:
    results = client.rerank("why?", [LONG, *SHORT], truncate="END")
    assert sorted(result.index for result in results) == list(range(129))
    scores = {result.index: result.logit for result in results}
    alone = client.rerank("why?", SHORT[:3])
    np.testing.assert_allclose([scores[r.index + 1] for r in alone], [r.logit for r in alone], rtol=0, atol=1e-4)
