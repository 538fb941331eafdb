from pathlib import Path

import numpy as np

from benchmarks.bare_ranker import bare_ranker, merged, packed_requests, published_tokenizer, ranker_parameters
from packrank_backend.packing import PackedPairs
from packrank_backend.text.question import Question
from packrank_client import RerankClient
from packrank_server.tritonserver import TritonServer

LIMITS = {"max_batch_tokens": 100, "max_batch_pairs": 4, "max_batch_padded_tokens": 120}


def request(*lengths: int) -> PackedPairs:
    return PackedPairs(np.zeros(sum(lengths), np.int32), np.array(lengths, np.int32))


def test_requests_merge_as_long_as_every_limit_holds() -> None:
    requests = [request(40), request(40), request(30), request(1, 1, 1), request(1), request(200), request(50, 9)]
    batches = [[part.seq_lens.tolist() for part in batch] for batch in merged(requests, LIMITS)]
    assert batches == [
        [[40], [40]],  # with 30 more: 110 tokens
        [[30], [1, 1, 1]],  # 4 pairs x 30 = 120 padded tokens; a fifth pair is over two limits
        [[1]],
        [[200]],  # over a limit by itself: alone
        [[50, 9]],
    ]


def test_the_bare_ranker_scores_as_the_server_does(
    server: TritonServer, repository: Path, client: RerankClient
) -> None:
    ranker = bare_ranker(repository, ranker_parameters(server.grpc_endpoint))
    passages = ["46 g a day", "word " * 2000]
    packed = packed_requests(published_tokenizer(repository), [Question("who?", passages)], 1024)
    (logits,) = ranker.logits(packed)
    served = {result.index: result.logit for result in client.rerank("who?", passages, truncate="END")}
    assert logits.tolist() == [served[0], served[1]]
