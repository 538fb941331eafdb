"""Does the live server's evaluation say what an offline one by Hugging Face transformers and torch says?

    python -m tests.goldens.evaluation SET OUTPUT

OUTPUT is what rerank-evaluate has written for SET from the server of this repository. Run by `make check-goldens` in an
environment of its own with torch. The texts come from the set's files, the prompt from the model card, the scores from
transformers, one unpadded pair at a time.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
import transformers

from packrank_backend.build_record import read_build_record
from packrank_client.evaluation.dataset import read_dataset
from packrank_client.evaluation.measures import measure
from packrank_client.evaluation.report import compare, markdown
from packrank_client.evaluation.trec_run import Hit, read_run
from tests.goldens.huggingface import load

TOLERANCE = 1e-4  # on a logit, as in the parity gate


@torch.inference_mode()  # type: ignore[untyped-decorator]
def main() -> int:
    """Score every candidate anew; compare order, logits and table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", type=Path, help="a BEIR folder")
    parser.add_argument("output", type=Path, help="of rerank-evaluate")
    options = parser.parse_args()
    record = read_build_record(Path("model_repository/ranker/1"))
    checkpoint = Path(record.source)
    if record.precision != "fp32" or not checkpoint.is_dir():
        return _fail(f"model_repository holds {record.source} in {record.precision}: run `make model` first.")
    model = load(checkpoint)
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(checkpoint / "tokenizer.json"))
    dataset = read_dataset(options.set)
    first = read_run(options.output / dataset.name / "first-stage.trec")
    served = read_run(options.output / dataset.name / "reranked.trec")
    offline, difference = {}, 0.0
    for query, hits in first.items():
        scored = []
        for hit in hits:
            text = f"question:{dataset.queries[query]} \n \n passage:{dataset.corpus[hit.document]}"
            scored.append(Hit(hit.document, model.logit(tokenizer(text, return_tensors="pt")["input_ids"])))
        offline[query] = sorted(scored, key=lambda hit: -hit.score)
        logits = dict(served[query])
        difference = max(difference, *(abs(hit.score - logits[hit.document]) for hit in scored))
        print(f"{query}: max |difference| of a logit so far {difference:.1e}", flush=True)
    reordered = [
        query
        for query, hits in offline.items()
        if [hit.document for hit in hits] != [hit.document for hit in served[query]]
    ]
    qrels = {query: grades for query, grades in dataset.qrels.items() if query in first}
    table = markdown([compare(dataset.name, measure(qrels, first), measure(qrels, offline))], "bm25", "reranked")
    same_table = table == (options.output / "report.md").read_text(encoding="utf-8")
    pairs = sum(map(len, first.values()))
    print(table)
    print(
        f"evaluation: {len(first)} queries, {pairs} pairs, max |difference| of a logit {difference:.1e} (allowed "
        f"{TOLERANCE:.0e}), {len(reordered)} queries in another order, "
        f"{'the same table' if same_table else 'ANOTHER TABLE'}"
    )
    return int(difference > TOLERANCE or bool(reordered) or not same_table)


def _fail(sentence: str) -> int:
    print(f"tests.goldens.evaluation: {sentence}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
