from pathlib import Path

import pytest

from benchmarks.settings import VARIANTS, cpu_config, repository_with, served_rows, settings_of
from packrank_build.progress import Progress
from tests.support.repository import ROOT

COMMITTED = settings_of(cpu_config(ROOT / "model_repository"))


def test_every_variant_names_settings_of_the_committed_config() -> None:
    assert {"threads", "max_run_tokens", "max_batch_tokens", "instances"} <= COMMITTED.keys()
    assert all(variant.keys() <= COMMITTED.keys() for variant in VARIANTS)


def test_a_variant_leaves_the_repository_as_it_was(repository: Path, tmp_path: Path) -> None:
    before = (repository / "ranker" / "configs" / "cpu.pbtxt").read_text()
    variant = repository_with(repository, tmp_path / "variant", {"instances": 2, "max_batch_tokens": 7})
    assert settings_of(cpu_config(variant)) == COMMITTED | {"instances": 2, "max_batch_tokens": 7}
    assert (repository / "ranker" / "configs" / "cpu.pbtxt").read_text() == before
    with pytest.raises(KeyError, match="no_such"):
        repository_with(repository, tmp_path / "other", {"no_such": 1})


def test_a_variant_is_served(repository: Path) -> None:
    (row,) = served_rows(repository, [{"max_batch_tokens": 512, "instances": 2}], 3, Progress())
    assert (row["max_batch_tokens"], row["instances"]) == (512, 2)
    assert (row["threads"], row["max_run_tokens"]) == (COMMITTED["threads"], COMMITTED["max_run_tokens"])
    assert float(row["tokens/s"]) > 0
