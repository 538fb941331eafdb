"""Whether a running tritonserver still answers, told apart from one that is only busy."""

from __future__ import annotations

import time

import grpc
from tritonclient.grpc.service_pb2 import ModelStatisticsRequest
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from packrank_client import RerankClient, RerankError
from packrank_server.stub_processes import cpu_seconds, stub_processes

QUESTION_TIMEOUT_S = 10.0
STATISTICS_TIMEOUT_S = 2.0
# A large request may compute this long before anything is counted: it is the longest deadline that a gateway takes.
LONGEST_RUN_S = 300.0
# A model process that computes uses its cores, even if it must share them; one that hangs or waits uses none.
BUSY_CORES = 0.1
# what callers ask; the other models are steps of these
ENSEMBLES = ("reranker", "nvidia_")


class Probe:
    """Asks one server a real question, but only if it shows no other sign of life.

    Signs of life are answers that Triton counted since the last look and, for at most `LONGEST_RUN_S` after the last
    answer, model processes that compute while the question waits. So a probe never adds to the work of a busy server,
    nor mistakes it for one that hangs.
    """

    def __init__(self, endpoint: str, server_pid: int) -> None:
        self._server_pid = server_pid
        self._client = RerankClient(endpoint)
        self._channel = grpc.insecure_channel(endpoint)
        self._statistics = GRPCInferenceServiceStub(self._channel)
        self._answered_s = time.monotonic()
        self._answers = 0

    def answers(self) -> bool:
        """Whether the server has answered since the last look, answers one question now, or computes."""
        cpu_s = self._cpu_s()
        if self._answers_grew() or self._answers_question():
            self._answered_s = time.monotonic()
            return True
        # not of the time that it took: a question that fails at once is no wait
        computes = self._cpu_s() - cpu_s > BUSY_CORES * QUESTION_TIMEOUT_S
        return computes and time.monotonic() - self._answered_s < LONGEST_RUN_S

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
        self._channel.close()

    def _cpu_s(self) -> float:
        return cpu_seconds(stub_processes(self._server_pid))

    def _answers_grew(self) -> bool:
        try:
            reply = self._statistics.ModelStatistics(ModelStatisticsRequest(), timeout=STATISTICS_TIMEOUT_S)
        except grpc.RpcError:
            return False
        ensembles = [model.inference_stats for model in reply.model_stats if model.name.startswith(ENSEMBLES)]
        before, self._answers = self._answers, sum(statistics.success.count for statistics in ensembles)
        return self._answers > before

    def _answers_question(self) -> bool:
        try:
            self._client.rerank("ready?", ["yes"], truncate="END", timeout_s=QUESTION_TIMEOUT_S)
        except RerankError:
            return False
        return True
