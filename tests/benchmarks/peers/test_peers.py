import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from benchmarks import results
from benchmarks.errors import BenchmarkError
from benchmarks.peers import __main__ as peers
from benchmarks.peers.checkpoint import write_peer_checkpoint
from benchmarks.peers.contestants import CONTESTANTS, Contestant, Settings
from benchmarks.peers.gemm_peak import gemm_peak_gops
from benchmarks.peers.mixes import MIXES, Mix, questions_of
from benchmarks.peers.report import Round, median_ratio, mix_rows, write_report
from benchmarks.peers.running import Score, Scored, correlation, log_odds, running_worker
from benchmarks.workload import token_count
from packrank_backend.text.prompt import pair_text
from packrank_backend.text.question import Question
from packrank_build.progress import Progress

SECONDS = {
    "packrank-fp32": 2.0,
    "packrank-int8": 1.0,
    "packed-fp32": 1.9,
    "packed-int8": 0.9,
    "openvino-fp32": 1.3,  # no peer, however fast: it runs packrank's graph
    "vllm-bf16": 1.4,
    "cross-encoder-fp32": 3.0,
    "cross-encoder-fp32-default": 3.9,
    "huggingface-fp32": 8.0,
}


SETTINGS: dict[str, Settings] = {name: {"batch": 4} for name in CONTESTANTS}


def measured(**seconds: float) -> Round:
    """A round of 1000 tokens with 2 GOP per token; the given seconds replace those above."""
    by_name = SECONDS | {name.replace("_", "-"): value for name, value in seconds.items()}
    return Round(
        tokens=1000,
        operations_per_token=2 * 10**9,
        peaks_gops={"fp32": 1250.0, "int8": 4000.0},
        seconds=by_name,
        correlation=dict.fromkeys(by_name, 0.9991),
    )


@pytest.mark.parametrize("name", MIXES)
def test_a_mix_is_the_same_in_every_run_and_as_long_as_it_says(name: str, llama3_tokenizer: Path) -> None:
    mix, tokenizer = MIXES[name], Tokenizer.from_file(str(llama3_tokenizer))
    questions = questions_of(mix, tokenizer)
    assert questions == questions_of(mix, tokenizer)
    lengths = [len(tokenizer.encode(pair_text(q.query, text)).ids) for q in questions for text in q.passages]
    assert len(lengths) == mix.pairs
    assert sum(lengths) == token_count(questions, tokenizer)
    assert max(abs(np.subtract(lengths, mix.pair_tokens))) <= 2
    assert (max(lengths) > 2000) == (name == "long")
    assert max(lengths) <= mix.max_pair_tokens


def test_the_fastest_candidate_is_taken_whichever_was_tried_last(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {512: 3.0, 1024: 1.0, 2048: 2.0, 4096: 4.0}

    @contextmanager
    def running(_: Contestant, settings: Settings, mix: Mix) -> Iterator[Score]:
        yield lambda questions: Scored(seconds[settings["batch"]], [0.0] * len(questions))

    monkeypatch.setattr(Contestant, "running", running)
    questions = [Question("a", ["b"])]
    best = peers.best_settings(CONTESTANTS["packed-fp32"], MIXES["uniform"], questions, 100, Progress())
    assert best == {"batch": 1024}


def test_ratios_are_taken_within_each_round() -> None:
    # a slow minute that hits both changes nothing
    rounds = [measured(), measured(packrank_fp32=20.0, cross_encoder_fp32=30.0), measured()]
    assert median_ratio(rounds, "packrank-fp32", "cross-encoder-fp32") == 1.5


def test_share_of_the_peak() -> None:
    # 1000 tokens x 2 GOP in 2 s are 1000 GOP/s
    assert measured().share_of_peak("packrank-fp32", "fp32") == pytest.approx(0.8)


def test_the_table_has_medians_fastest_first() -> None:
    rounds = [measured(), measured(vllm_bf16=1.6), measured(vllm_bf16=1.5)]
    rows = mix_rows(rounds, SETTINGS)
    assert [row["tokens/s"] for row in rows[:4]] == ["1111", "1000", "769", "667"]
    assert rows[3][""] == "vLLM"
    assert rows[3]["lowest to highest"] == "625 to 714"
    assert rows[3]["% of GEMM peak"] == "", "torch's bf16 product is not measured"
    assert rows[1]["× vLLM bf16"] == "1.50"
    assert rows[1]["% of GEMM peak"] == "50"
    assert rows[1]["settings"] == "batch 4"


def test_a_contestant_that_misses_a_round_has_no_row() -> None:
    round_ = measured()
    del round_.seconds["vllm-bf16"]
    rows = mix_rows([measured(), round_], SETTINGS)
    assert "vLLM" not in [row[""] for row in rows]
    assert "× CrossEncoder fp32" in rows[0], "then the fastest peer"


def test_the_report_has_a_table_and_the_seconds_of_every_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    write_report(MIXES["log-normal"], [measured(), measured()], SETTINGS)
    text = (tmp_path / "peers-log-normal.md").read_text()
    assert "64 pairs, 1000 tokens, 2 rounds. GEMM peak in GOP/s: fp32 1250, int8 4000." in text
    with (tmp_path / "peers-log-normal.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * len(SECONDS)
    assert (rows[0]["round"], rows[0]["contestant"], rows[0]["seconds"]) == ("1", "packrank-fp32", "2.0")


def test_a_round_leaves_out_who_computes_another_model(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "PEER_CHECKPOINT", tiny_checkpoint)
    logits = [1.0, 2.0, 4.0]
    ready: dict[str, Score] = {
        "packrank-fp32": lambda _: Scored(1.0, [1.1, 2.1, 4.1]),
        "vllm-fp32": lambda _: Scored(1.0, [4.0, 2.0, 1.0]),
        "huggingface-fp32": lambda _: Scored(2.0, logits),
    }
    found = peers.one_round(ready, [], 100, 1, Progress())
    assert found.seconds == {"packrank-fp32": 1.0, "huggingface-fp32": 2.0}
    assert found.peaks_gops.keys() == {"fp32", "int8"}


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_peak_is_a_speed(precision: str) -> None:
    assert gemm_peak_gops(precision, 64, 160) > 0.1


def test_a_worker_scores_pairs_in_a_process_of_its_own(repository: Path, tmp_path: Path) -> None:
    python = CONTESTANTS["packed-fp32"].python
    questions = [Question("who?", ["46 g a day", "no one"]), Question("why?", ["because"])]
    with running_worker(python, "packed", repository, "fp32", 1024, tmp_path / "log") as score:
        found = score(questions)
    assert len(found.logits) == 3
    assert found.seconds > 0
    with pytest.raises(BenchmarkError, match="the worker `packed` ended; read its log"):
        with running_worker(python, "packed", tmp_path, "fp32", 1024, tmp_path / "log"):
            pass


def test_who_computes_another_model_is_not_measured() -> None:
    logits = np.random.default_rng(0).standard_normal(64)
    noisy = logits + 0.01 * np.random.default_rng(1).standard_normal(64)
    assert correlation("peer", logits.tolist(), noisy.tolist()) > 0.999
    with pytest.raises(BenchmarkError, match="peer computes another model"):
        correlation("peer", logits.tolist(), np.roll(logits, 1).tolist())
    with pytest.raises(BenchmarkError):  # not a number
        correlation("peer", logits.tolist(), [0.5] * 64)


def test_scores_of_a_server_are_turned_back_into_logits() -> None:
    assert log_odds(1 / (1 + np.exp(-3.25))) == pytest.approx(3.25)
    assert log_odds(1.0) > 15


def test_a_precision_that_the_processor_lacks_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    avx2, avx512 = "flags : fpu avx2 fma", "flags : avx2 avx512_vnni avx512_bf16"
    monkeypatch.setattr(Contestant, "python", tmp_path)  # exists
    able = {name for name, c in CONTESTANTS.items() if c.obstacle(avx2) is None}
    assert {CONTESTANTS[name].precision for name in able} == {"fp32", "int8"}
    assert all(c.obstacle(avx512) is None for c in CONTESTANTS.values())


def test_padding_to_thousands_of_tokens_is_not_tried_in_large_batches() -> None:
    peer = CONTESTANTS["cross-encoder-fp32"]
    assert max(settings["batch"] for settings in peer.candidates(MIXES["log-normal"])) == 32
    assert max(settings["batch"] for settings in peer.candidates(MIXES["long"])) == 4
    assert CONTESTANTS["cross-encoder-fp32-default"].candidates(MIXES["long"]) == []


def test_the_peers_read_the_same_tokens(tiny_checkpoint: Path, tmp_path: Path) -> None:
    write_peer_checkpoint(tiny_checkpoint, tmp_path / "peer")
    ours = Tokenizer.from_file(str(tiny_checkpoint / "tokenizer.json"))
    theirs = Tokenizer.from_file(str(tmp_path / "peer" / "tokenizer.json"))
    for query, passage in (("who?", "46 g a day"), ("what is a right?", "Everyone has"), ("q", "")):
        expected = ours.encode(pair_text(query, passage)).ids
        assert theirs.encode(pair_text(query, ""), passage).ids == expected
        assert theirs.encode(pair_text(query, passage)).ids == expected
