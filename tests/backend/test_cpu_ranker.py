import dataclasses
import shutil
from pathlib import Path

import pytest

from packrank_backend.build_record import StaleBuild, read_build_record
from packrank_backend.cpu_ranker import published_ranker


def test_what_a_cpu_cannot_compute_is_refused(repository: Path, tmp_path: Path) -> None:
    version = tmp_path / "1"
    shutil.copytree(repository / "ranker" / "1", version)
    dataclasses.replace(read_build_record(version), precision="bf16").write(version)
    with pytest.raises(StaleBuild, match="kernels lack.*Run `make model PRECISION=fp32`"):
        published_ranker(version, threads=1, max_run_tokens=1024, max_attention_bytes=1 << 29)
