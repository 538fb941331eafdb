from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from packrank_client import RerankClient
from packrank_client.evaluation.command_line import EXIT_FAILED, EXIT_INVALID, main
from packrank_client.evaluation.trec_run import read_run
from packrank_server.ports import free_ports
from packrank_server.tritonserver import TritonServer

CORPUS = {
    "whey": "Whey is the liquid that remains when milk is curdled.",
    "lima": "Lima is the capital of Peru.",
    "eagle": "The female of the golden eagle is larger than the male.",
    "long": "word " * 2000,  # over the limit of 1,024 tokens
}
QUERIES = {
    "q1": ("what is whey", "whey", "en"),
    "q2": ("Hauptstadt of Peru", "lima", "de"),
    "q3": ("word", "long", "en"),
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    directory = tmp_path / "tiny-set"
    (directory / "qrels").mkdir(parents=True)
    corpus = [json.dumps({"_id": name, "title": "", "text": text}) for name, text in CORPUS.items()]
    (directory / "corpus.jsonl").write_text("\n".join(corpus) + "\n")
    queries = [json.dumps({"_id": name, "text": text, "language": code}) for name, (text, _, code) in QUERIES.items()]
    (directory / "queries.jsonl").write_text("\n".join(queries) + "\n")
    rows = [f"{name}\t{document}\t1" for name, (_, document, _) in QUERIES.items()]
    (directory / "qrels" / "test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *rows]) + "\n")
    return directory


def evaluate(data: Path, server: TritonServer, *options: str) -> int:
    output = data.parent / "output"
    return main([str(data), "--url", server.grpc_endpoint, "--depth", "4", "--output", str(output), *options])


def test_the_runs_hold_the_server_s_scores(
    data: Path, server: TritonServer, client: RerankClient, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(data, server) == 0
    output = data.parent / "output" / "tiny-set"
    first, reranked = read_run(output / "first-stage.trec", 4), read_run(output / "reranked.trec", 4)
    assert first["q1"][0].document == "whey"
    for query, (text, _, _) in QUERIES.items():
        assert {hit.document for hit in reranked[query]} == {hit.document for hit in first[query]} == set(CORPUS)
        passages = [CORPUS[hit.document] for hit in reranked[query]]
        expected = client.rerank(text, passages, truncate="END")
        assert [hit.score for hit in reranked[query]] == pytest.approx([each.logit for each in expected], abs=1e-4)
    report = json.loads((data.parent / "output" / "report.json").read_text())
    assert [each["title"] for each in report["results"]] == ["tiny-set", "tiny-set [de]", "tiny-set [en]"]
    assert report["results"][0]["before"]["MRR@10"]["mean"] == 1  # BM25 finds each by its word
    assert capsys.readouterr().out == (data.parent / "output" / "report.md").read_text()


def test_an_interrupted_evaluation_goes_on_without_asking_again(data: Path, server: TritonServer) -> None:
    assert evaluate(data, server) == 0
    results = data.parent / "output" / "tiny-set" / "results.jsonl"
    whole = results.read_text()
    header, first, second, _ = whole.splitlines(keepends=True)
    marked = first.replace("whey", "whey ", 1)  # a mark that survives only if the file is read again
    results.write_text(header + marked + second[: len(second) // 2])
    assert evaluate(data, server) == 0
    assert results.read_text().splitlines()[1] == marked.strip()
    assert len(results.read_text().splitlines()) == 4


def test_results_of_another_model_are_not_mixed_in(
    data: Path, server: TritonServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(data, server) == 0
    results = data.parent / "output" / "tiny-set" / "results.jsonl"
    lines = results.read_text().splitlines(keepends=True)
    header = json.loads(lines[0])
    header["model"][0] += 1
    results.write_text(json.dumps(header) + "\n" + "".join(lines[1:]))
    assert evaluate(data, server) == EXIT_INVALID
    assert "results of another model: give another --output, or --restart." in capsys.readouterr().err
    assert evaluate(data, server, "--restart") == 0


def test_other_data_is_not_mixed_in(data: Path, server: TritonServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(data, server) == 0
    corpus = data / "corpus.jsonl"
    corpus.write_text(corpus.read_text().replace("liquid", "fluid"))
    assert evaluate(data, server, "--truncate", "NONE") == EXIT_INVALID
    assert "another data and candidates and --truncate" in capsys.readouterr().err


def test_a_document_over_the_limit_is_named_with_truncate_none(
    data: Path, server: TritonServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(data, server, "--truncate", "NONE") == EXIT_INVALID
    assert re.search(r"query 'q\d', document 'long': .*; the limit is 1024\.", capsys.readouterr().err)


def test_a_server_that_is_not_there_is_said(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"127.0.0.1:{free_ports().grpc}"
    assert main([str(data), "--url", url, "--output", str(data.parent / "output")]) == EXIT_FAILED
    assert "run the same command again to resume" in capsys.readouterr().err


def test_a_first_stage_alone_needs_no_server(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url, alone = f"127.0.0.1:{free_ports().grpc}", data.parent / "alone"
    assert main([str(data), "--url", url, "--no-rerank", "--output", str(alone)]) == 0
    assert "| MRR@10 | queries | bm25 |\n" in capsys.readouterr().out
    first, last = (read_run(alone / "tiny-set" / f"{name}.trec") for name in ("first-stage", "reranked"))
    assert first == last
    assert not (alone / "tiny-set" / "results.jsonl").exists()
    assert main(["compare", str(alone), str(alone)]) == 0


def test_two_rankers_are_compared_from_what_they_left(
    data: Path, server: TritonServer, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = data.parent / "old", data.parent / "new"
    for output, first_stage in ((old, "bm25"), (new, f"run:{old}")):
        assert evaluate(data, server, "--output", str(output), "--first-stage", first_stage) == 0
    capsys.readouterr()
    assert main(["compare", str(old), str(new)]) == 0
    table = capsys.readouterr().out
    assert f"| Recall@5 | queries | {old} | {new} | gain |" in table
    assert table.count("+0.000 (+0.000 to +0.000)") == 9  # the same model: no gain in 3 measures, 3 rows each
    assert "different candidates" not in table
    assert evaluate(data, server, "--output", str(new), "--restart", "--depth", "1", "--label", "deep one") == 0
    capsys.readouterr()
    assert main(["compare", str(old), str(new)]) == 0
    table = capsys.readouterr().out
    assert "| MRR@10 | queries | reranked | deep one | gain |" in table
    assert "reranked different candidates" in table
    assert main(["compare", str(old), str(data)]) == EXIT_INVALID
    assert "holds no finished evaluation" in capsys.readouterr().err
