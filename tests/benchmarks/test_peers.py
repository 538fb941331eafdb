import csv
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from benchmarks import check, report
from benchmarks.peers.agreement import correlation
from benchmarks.peers.checkpoint import write_peer_checkpoint
from benchmarks.peers.contestants import CONTESTANTS
from benchmarks.peers.goals import measured_goals
from benchmarks.peers.mixes import MIXES, questions_of, token_count
from benchmarks.peers.records import MixRecords, Round, Trial, best_settings, median_ratio
from benchmarks.peers.report import csv_rows, markdown, mix_rows, write_report
from benchmarks.peers.running import ContestantFailed, log_odds
from packrank_backend.prompt import pair_text

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


def measured(**seconds: float) -> Round:
    """A round of 1000 tokens, with 2 GOP a token, in the seconds above but for those given."""
    by_name = SECONDS | {name.replace("_", "-"): value for name, value in seconds.items()}
    return Round(
        machine="a machine",
        tokens=1000,
        pairs=10,
        operations_per_token=2 * 10**9,
        peaks_gops={"fp32": 1250.0, "bf16": 2000.0, "int8": 4000.0},
        settings={name: {"batch_size": 4} for name in by_name},
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


def test_the_fastest_candidate_is_taken_whichever_was_tried_last() -> None:
    trials = [Trial("a", {"batch_size": size}, rate) for size, rate in ((1, 10.0), (2, 30.0), (4, 20.0))]
    trials.append(Trial("b", {"batch_size": 8}, 99.0))
    assert best_settings(trials, "a") == {"batch_size": 2}
    assert best_settings(trials, "c") is None


def test_records_outlive_an_interruption(tmp_path: Path) -> None:
    records = MixRecords(tmp_path / "mix")
    assert (records.trials(), records.rounds()) == ([], [])
    for name in ("a", "b", "a"):
        records.add_trial(Trial(name, {"batch_size": 1}, 5.0))
    records.add_round(measured())
    again = MixRecords(tmp_path / "mix")
    assert again.rounds() == [measured()]
    again.forget_trials("a")
    assert [trial.contestant for trial in again.trials()] == ["b"]
    again.forget_rounds()
    assert again.rounds() == []


def test_ratios_are_taken_within_each_round() -> None:
    # a slow minute that hits both changes nothing
    rounds = [measured(), measured(packrank_fp32=20.0, cross_encoder_fp32=30.0), measured()]
    assert median_ratio(rounds, "packrank-fp32", "cross-encoder-fp32") == 1.5


def test_share_of_the_peak() -> None:
    # 1000 tokens x 2 GOP in 2 s are 1000 GOP/s
    assert measured().share_of_peak("packrank-fp32", "fp32") == pytest.approx(0.8)


def test_goals_are_reached_or_missed_by_the_figures() -> None:
    goals = {goal.sentence: goal for goal in measured_goals([measured()])}
    assert {sentence: (goal.value, goal.verdict) for sentence, goal in goals.items()} == {
        "fp32 against CrossEncoder fp32": (1.5, "reached"),
        "fp32 against CrossEncoder, defaults fp32": (1.95, "missed"),
        "int8, the best here, against the fastest peer, vLLM bf16": (1.4, "missed"),
        "fp32 gRPC, of the GEMM peak": (pytest.approx(80), "reached"),
        "int8 gRPC, of the GEMM peak": (pytest.approx(50), "missed"),
        "fp32 in process, of the GEMM peak": (pytest.approx(84.2, abs=0.1), "reached"),
        "int8 in process, of the GEMM peak": (pytest.approx(55.6, abs=0.1), "missed"),
    }


def test_a_goal_whose_contestant_was_not_there_is_not_measured() -> None:
    absent = [name for name in SECONDS if "int8" in name or "default" in name]
    round_ = measured()
    for name in absent:
        del round_.seconds[name]
    goals = {goal.sentence: goal.verdict for goal in measured_goals([measured(), round_])}
    assert goals["int8 gRPC, of the GEMM peak"] == "not measured"
    assert goals["fp32 against CrossEncoder, defaults fp32"] == "not measured"
    assert goals["fp32, the best here, against the fastest peer, vLLM bf16"] == "missed"


def test_the_table_has_medians_fastest_first() -> None:
    rounds = [measured(), measured(vllm_bf16=1.6), measured(vllm_bf16=1.5)]
    rows = mix_rows(rounds)
    assert [row["tokens/s"] for row in rows[:4]] == ["1111", "1000", "769", "667"]
    assert rows[3][""] == "vLLM"
    assert rows[3]["lowest to highest"] == "625 to 714"
    assert rows[1]["× vLLM bf16"] == "1.50"
    assert rows[1]["settings"] == "batch size 4"


def test_the_report_has_markdown_csv_and_a_plot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("benchmarks.report", "benchmarks.peers.report"):
        monkeypatch.setattr(f"{module}.RESULTS", tmp_path)
    rounds = {"uniform": [measured()], "log-normal": [measured(), measured()]}
    write_report(rounds)
    text = (tmp_path / "peers.md").read_text()
    assert text == markdown(rounds) + "\n"
    assert "a machine" in text
    assert text.count("| ") > 20
    with (tmp_path / "peers.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * len(SECONDS) == len(csv_rows(rounds))
    assert rows[0]["tokens/s"] == "500.0"
    assert "packrank int8, gRPC" in (tmp_path / "peers.svg").read_text()
    assert tmp_path == report.RESULTS


def test_who_computes_another_model_is_not_measured() -> None:
    logits = np.random.default_rng(0).standard_normal(64)
    noisy = logits + 0.01 * np.random.default_rng(1).standard_normal(64)
    assert correlation("peer", logits.tolist(), noisy.tolist()) > 0.999
    with pytest.raises(ContestantFailed, match="peer computes another model"):
        correlation("peer", logits.tolist(), np.roll(logits, 1).tolist())
    with pytest.raises(ContestantFailed):  # not a number
        correlation("peer", logits.tolist(), [0.5] * 64)


def test_scores_of_a_server_are_turned_back_into_logits() -> None:
    assert log_odds(1 / (1 + np.exp(-3.25))) == pytest.approx(3.25)
    assert log_odds(1.0) > 15


def test_a_precision_that_the_processor_lacks_is_left_out() -> None:
    avx2, avx512 = "flags : fpu avx2 fma", "flags : avx2 avx512_vnni avx512_bf16"
    able = {name for name, c in CONTESTANTS.items() if c.obstacle(avx2) is None}
    assert {CONTESTANTS[name].precision for name in able} == {"fp32", "int8"}
    assert all(c.obstacle(avx512) is None for c in CONTESTANTS.values())


def test_padding_to_thousands_of_tokens_is_not_tried_in_large_batches() -> None:
    peer = CONTESTANTS["cross-encoder-fp32"]
    assert max(settings["batch_size"] for settings in peer.candidates(MIXES["log-normal"])) == 32
    assert max(settings["batch_size"] for settings in peer.candidates(MIXES["long"])) == 4
    assert CONTESTANTS["cross-encoder-fp32-default"].candidates(MIXES["long"]) == []


def test_the_peers_read_the_same_tokens(tiny_checkpoint: Path, tmp_path: Path) -> None:
    write_peer_checkpoint(tiny_checkpoint, tmp_path / "peer")
    ours = Tokenizer.from_file(str(tiny_checkpoint / "tokenizer.json"))
    theirs = Tokenizer.from_file(str(tmp_path / "peer" / "tokenizer.json"))
    for query, passage in (("who?", "46 g a day"), ("what is a right?", "Everyone has"), ("q", "")):
        expected = ours.encode(pair_text(query, passage)).ids
        assert theirs.encode(pair_text(query, ""), passage).ids == expected
        assert theirs.encode(pair_text(query, passage)).ids == expected


def test_a_build_below_its_floor_fails() -> None:
    floor = check.FLOORS["fp32"]
    assert check.verdict(floor, "fp32")[0]
    passed, sentence = check.verdict(floor - 0.01, "fp32")
    assert not passed
    assert "something has become slower" in sentence
    assert check.verdict(0.1, "fp16") == (True, check.verdict(0.1, "fp16")[1])
    assert "no floor is known" in check.verdict(0.1, "fp16")[1]
