"""The command `rerank-evaluate`: evaluates a server on data sets, or compares two finished evaluations."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from packrank_client.client import RerankClient
from packrank_client.errors import RerankError
from packrank_client.evaluation.dataset import Dataset, read_dataset, sample
from packrank_client.evaluation.errors import EvaluationError
from packrank_client.evaluation.first_stage import bm25_run, embeddings_run
from packrank_client.evaluation.ir_datasets_catalogue import read_catalogued
from packrank_client.evaluation.measures import measure
from packrank_client.evaluation.output_directory import Measured, compare_outputs, same_candidates
from packrank_client.evaluation.report import Comparison, compare, compare_by_language, markdown, record
from packrank_client.evaluation.reranking import rerank_run
from packrank_client.evaluation.trec_run import Hit, read_run, write_run

EXIT_FAILED = 1
EXIT_INVALID = 2
EXIT_INTERRUPTED = 130

_LOG_INTERVAL_S = 10.0

_EPILOG = """\
The output directory gets report.md and report.json, and for each data set first-stage.trec, reranked.trec,
measures.json and results.jsonl. An interrupted run resumes from results.jsonl.

examples:
  rerank-evaluate my-data                                      rerank BM25's best 40 of each query
  rerank-evaluate ir_datasets:beir/fiqa/test                   download a public set
  rerank-evaluate my-data --first-stage run:my-retriever.trec  rerank another retriever's results
  rerank-evaluate my-data --first-stage embeddings:http://localhost:9000 --embeddings-model nvidia/nv-embedqa-e5-v5
  rerank-evaluate my-data --output new --label new --first-stage run:old
  rerank-evaluate my-data --output e5 --no-rerank --first-stage embeddings:...   measure an embedder alone
  rerank-evaluate compare old new                              compare two rankers by their outputs
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments[:1] == ["compare"]:
        return _compare(arguments[1:])
    options = _parser().parse_args(arguments)
    try:
        comparisons: list[Comparison] = []
        with RerankClient(options.url or "localhost:8001", model=options.model, timeout_s=options.timeout_s) as client:
            for name in options.datasets:
                dataset = sample(_read(name, options.split), options.queries)
                comparisons += _evaluate(client, dataset, options)
    except EvaluationError as error:
        return _fail(str(error), EXIT_INVALID)
    except RerankError as error:
        return _fail(f"{error} Finished queries are kept: run the same command again to resume.", EXIT_FAILED)
    except KeyboardInterrupt:
        return _fail("interrupted; run the same command again to resume.", EXIT_INTERRUPTED)
    before = _first_stage_label(options)
    after = None if options.no_rerank else options.label
    settings = {
        "first_stage": options.first_stage,
        "depth": options.depth,
        "queries": options.queries,
        "truncate": options.truncate,
        "label": after,
    }
    options.output.joinpath("report.json").write_text(json.dumps(record(comparisons, settings), indent=2) + "\n")
    table = markdown(comparisons, before, after)
    options.output.joinpath("report.md").write_text(table, encoding="utf-8")
    print(table, end="")
    return 0


def _read(name: str, split: str) -> Dataset:
    kind, _, catalogued = name.partition(":")
    if kind != "ir_datasets":
        return read_dataset(Path(name), split)
    try:
        return read_catalogued(catalogued, _announcer(name))
    finally:
        _end_line()


def _evaluate(client: RerankClient, dataset: Dataset, options: argparse.Namespace) -> list[Comparison]:
    """Evaluate a data set: one comparison over all queries, then one per language."""
    directory: Path = options.output / dataset.name
    directory.mkdir(parents=True, exist_ok=True)
    announce = _announcer(dataset.name)
    try:
        first = _first_stage(dataset, options, announce)
        write_run(first, directory / "first-stage.trec", options.first_stage.split(":")[0])
        reranked = (
            first
            if options.no_rerank
            else rerank_run(
                client,
                dataset,
                first,
                directory / "results.jsonl",
                announce,
                truncate=options.truncate,
                restart=options.restart,
            )
        )
    finally:
        _end_line()
    label = _first_stage_label(options) if options.no_rerank else options.label
    write_run(reranked, directory / "reranked.trec", label)
    queries = list(dataset.qrels)
    before, after = measure(dataset.qrels, first), measure(dataset.qrels, reranked)
    Measured(label, queries, dataset.languages, before, after).write(directory)
    return [
        compare(dataset.name, before, after),
        *compare_by_language(dataset.name, queries, dataset.languages, before, after),
    ]


def _first_stage_label(options: argparse.Namespace) -> str:
    return str(options.embeddings_model or options.first_stage.split(":")[0])


def _compare(arguments: Sequence[str]) -> int:
    """Run `rerank-evaluate compare OLD NEW`."""
    parser = argparse.ArgumentParser(
        prog="rerank-evaluate compare",
        description="Compare two evaluations of the same queries, with paired differences of every measure.",
    )
    parser.add_argument("old", type=Path, help="an --output directory of rerank-evaluate")
    parser.add_argument("new", type=Path, help="the --output directory to compare with it")
    options = parser.parse_args(arguments)
    try:
        comparisons, before, after = compare_outputs(options.old, options.new)
        same = same_candidates(options.old, options.new)
    except EvaluationError as error:
        return _fail(str(error), EXIT_INVALID)
    print(markdown(comparisons, before, after), end="")
    if not same:
        print("\nThe evaluations reranked different candidates: the gain is that of first stage and ranker together.")
    return 0


def _first_stage(
    dataset: Dataset, options: argparse.Namespace, announce: Callable[[str], None]
) -> dict[str, list[Hit]]:
    kind, _, where = options.first_stage.partition(":")
    if kind == "bm25":
        return bm25_run(dataset, options.depth, announce)
    if kind == "embeddings":
        return embeddings_run(dataset, options.depth, announce, where, options.embeddings_model)
    path = Path(where)
    run = read_run(path / dataset.name / "first-stage.trec" if path.is_dir() else path, options.depth)
    unknown = sorted({hit.document for query in dataset.queries for hit in run.get(query, ())} - dataset.corpus.keys())
    if unknown:
        raise EvaluationError(
            f"{path}: {len(unknown)} documents are not in {dataset.name}'s corpus, the first is {unknown[0]!r}: "
            "give a run on the same corpus."
        )
    return {query: run[query] for query in dataset.queries if query in run}


def _announcer(name: str) -> Callable[[str], None]:
    """Make a function that shows progress: on one line of a terminal, or every ten seconds in a log."""
    shown_at_s = -_LOG_INTERVAL_S

    def announce(sentence: str) -> None:
        nonlocal shown_at_s
        if sys.stderr.isatty():
            print(f"\r\x1b[K{name}: {sentence}", end="", file=sys.stderr, flush=True)
        elif time.monotonic() - shown_at_s >= _LOG_INTERVAL_S:
            shown_at_s = time.monotonic()
            print(f"{name}: {sentence}", file=sys.stderr, flush=True)

    return announce


def _end_line() -> None:
    if sys.stderr.isatty():
        print(file=sys.stderr)


def _fail(sentence: str, exit_code: int) -> int:
    print(f"rerank-evaluate: {sentence}", file=sys.stderr)
    return exit_code


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _first_stage_option(text: str) -> str:
    kind, _, where = text.partition(":")
    if kind not in ("bm25", "run", "embeddings") or (kind == "bm25") == bool(where):
        raise argparse.ArgumentTypeError(f"{text!r} is not bm25, run:PATH or embeddings:URL")
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rerank-evaluate",
        description="Measure what a reranking server adds to a first stage, on BEIR folders and public sets.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "datasets", nargs="+", metavar="DATASET", help="a BEIR folder, or ir_datasets:NAME (extra `datasets`)"
    )
    parser.add_argument("--split", default="test", help="name of the qrels file (default: test)")
    parser.add_argument(
        "--first-stage",
        type=_first_stage_option,
        default="bm25",
        metavar="KIND",
        help="bm25 (default), run:PATH (a TREC run, or an earlier --output), embeddings:URL",
    )
    parser.add_argument(
        "--embeddings-model", default="", metavar="NAME", help="`model` to send to the embeddings endpoint"
    )
    parser.add_argument(
        "--depth", type=_at_least_one, default=40, metavar="N", help="candidates per query (default: 40)"
    )
    parser.add_argument(
        "--queries",
        type=_at_least_one,
        metavar="N",
        help="use at most N queries of each data set, always the same ones",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("evaluation"),
        metavar="DIR",
        help="directory for results (default: evaluation)",
    )
    parser.add_argument("--restart", action="store_true", help="discard the results of an earlier run")
    parser.add_argument("--no-rerank", action="store_true", help="measure the first stage alone, without a server")
    parser.add_argument("--label", default="reranked", help="name of the ranker in the table (default: reranked)")
    parser.add_argument(
        "--truncate",
        choices=("NONE", "END"),
        default="END",
        help="cut passages over the limit (END, default), or refuse them (NONE)",
    )
    server = parser.add_argument_group("server")
    server.add_argument(
        "--url", action="append", metavar="HOST:PORT", help="gRPC endpoint (default: localhost:8001); may be repeated"
    )
    server.add_argument("--model", default="reranker", help="name of the ensemble (default: %(default)s)")
    server.add_argument(
        "--timeout-s", type=float, default=300.0, metavar="S", help="deadline of each query (default: 300)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
