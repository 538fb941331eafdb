import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from packrank_build.batching.compile import CompileError, compile_batching_strategy, main
from packrank_server.unmerged_config import MISSING_LIBRARY


def test_the_library_is_replaced_not_overwritten(tmp_path: Path) -> None:
    library = compile_batching_strategy(tmp_path)
    loaded_by_a_server = os.open(library, os.O_RDONLY)
    try:
        assert compile_batching_strategy(tmp_path) == library
        assert os.fstat(loaded_by_a_server).st_nlink == 0
    finally:
        os.close(loaded_by_a_server)
    assert list(tmp_path.iterdir()) == [library]


def test_it_defines_what_triton_asks_for(tmp_path: Path) -> None:
    symbols = compile_batching_strategy(tmp_path).read_bytes()
    for function in ("BatcherInitialize", "BatcherFinalize", "BatchInitialize", "BatchFinalize", "BatchIncludeRequest"):
        assert f"TRITONBACKEND_Model{function}".encode() in symbols


def test_a_machine_without_a_compiler_is_told_what_follows(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "packrank_build.batching.compile", str(tmp_path)]
    environment = os.environ | {"PATH": str(tmp_path)}
    environment.pop("CC", None)
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stderr.startswith("no C compiler (cc, gcc, clang): install one")
    assert done.stderr.endswith(f"{MISSING_LIBRARY}\n")
    assert not list(tmp_path.iterdir())


def test_a_compiler_that_fails_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "mycc"
    fake.write_text("#!/bin/sh\necho 'x.c:12:10: fatal error: stdio.h: No such file' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("CC", str(fake))
    with pytest.raises(CompileError, match=r"mycc cannot compile batchstrategy.c \(x.c:12:10: fatal error: stdio.h"):
        compile_batching_strategy(tmp_path / "1")
    assert not list((tmp_path / "1").iterdir())


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_cc_chooses_the_compiler(compiler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", compiler)
    monkeypatch.setattr(sys, "argv", ["batching_strategy", str(tmp_path)])
    assert main() == 0
    assert bool(list(tmp_path.iterdir())) == (shutil.which(compiler) is not None)
