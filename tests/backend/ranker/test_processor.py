from pathlib import Path

import pytest

from packrank_backend.ranker.processor import has_native_bf16


@pytest.mark.parametrize(
    ("flags", "native"),
    [
        ("fpu avx2 fma", False),
        ("avx2 avx512f avx512_vnni", False),
        ("avx512_bf16 avx512_vnni", True),
        ("amx_bf16 amx_tile", True),
    ],
)
def test_bf16_is_native_where_the_processor_has_its_instructions(flags: str, native: bool, tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nmodel name\t: avx512_bf16\nflags\t\t: {flags}\n")
    assert has_native_bf16(cpuinfo) is native


def test_a_processor_without_flags_has_none(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nFeatures\t: asimd bf16\n")
    assert has_native_bf16(cpuinfo) is False
