from pathlib import Path

import pytest

from benchmarks.settings import committed_settings, process_rows, repository_with, served_rows, with_settings
from packrank_build.progress import Progress
from tests.support.repository import ROOT

CONFIG = (ROOT / "model_repository" / "ranker" / "configs" / "cpu.pbtxt").read_text()


def test_settings_are_read_and_written_in_the_committed_config() -> None:
    committed = committed_settings(CONFIG)
    assert {"threads", "max_run_tokens", "max_batch_tokens", "instances"} <= committed.keys()
    assert with_settings(CONFIG, committed) == CONFIG
    changed = with_settings(CONFIG, {"max_batch_tokens": 7, "instances": 3})
    assert committed_settings(changed) == committed | {"max_batch_tokens": 7, "instances": 3}
    with pytest.raises(ValueError, match="no_such stands 0 times"):
        with_settings(CONFIG, {"no_such": 1})


def test_a_variant_leaves_the_repository_as_it_was(repository: Path, tmp_path: Path) -> None:
    before = (repository / "ranker" / "configs" / "cpu.pbtxt").read_text()
    variant = repository_with(repository, tmp_path / "variant", {"instances": 2})
    assert committed_settings((variant / "ranker" / "configs" / "cpu.pbtxt").read_text())["instances"] == 2
    assert (repository / "ranker" / "configs" / "cpu.pbtxt").read_text() == before


def test_variants_run(repository: Path) -> None:
    committed = committed_settings(CONFIG)
    rows = process_rows(repository, committed, [{"threads": 1}, {"max_run_tokens": 128}], 4, Progress())
    assert [row["threads"] for row in rows] == [1, committed["threads"]]
    assert [row["max_run_tokens"] for row in rows] == [committed["max_run_tokens"], 128]
    (row,) = served_rows(repository, committed, [{"max_batch_tokens": 512, "instances": 2}], 3, Progress())
    assert (row["max_batch_tokens"], row["instances"]) == (512, 2)
    assert all(float(row["tokens/s"]) > 0 for row in [*rows, row])
