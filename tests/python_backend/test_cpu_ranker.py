import dataclasses
import shutil
from pathlib import Path

import pytest

from packrank_backend import cpu_ranker
from packrank_backend.build_record import StaleBuild, read_build_record
from packrank_backend.cpu_ranker import has_vnni, published_ranker


@pytest.mark.parametrize(
    ("flags", "exact"),
    [("fpu avx512_vnni sse", True), ("fpu avx_vnni sse", True), ("fpu avx2 avx512f sse", False), ("", False)],
)
def test_vnni_is_read_from_the_flags(flags: str, exact: bool) -> None:
    assert has_vnni(f"processor : 0\nflags\t\t: {flags}\nbugs : none\n") is exact


@pytest.mark.parametrize(("precision", "reason"), [("bf16", "kernels lack"), ("int8", "has no AVX-VNNI")])
def test_what_this_processor_cannot_compute_is_refused(
    precision: str, reason: str, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text("flags : avx2")
    monkeypatch.setattr(cpu_ranker, "CPUINFO", tmp_path / "cpuinfo")
    version = tmp_path / "1"
    shutil.copytree(repository / "ranker" / "1", version)
    dataclasses.replace(read_build_record(version), precision=precision).write(version)
    with pytest.raises(StaleBuild, match=f"{reason}.*Run `make model PRECISION=fp32`"):
        published_ranker(version, threads=1, max_run_tokens=1024, max_attention_bytes=1 << 29)
