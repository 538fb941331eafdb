import csv
from pathlib import Path

import pytest

from benchmarks import results
from benchmarks.results import markdown_table, write_csv, write_markdown


def test_the_table_lines_up() -> None:
    rows: list[dict[str, float | str]] = [{"a": 1, "b": 2.5, "c": 0}, {"a": 10, "b": "none", "c": 0}]
    assert markdown_table(rows, ["a", "b"]) == "|  a |    b |\n|---:|-----:|\n|  1 |  2.5 |\n| 10 | none |"
    assert markdown_table(rows[:1]) == "| a |   b | c |\n|--:|----:|--:|\n| 1 | 2.5 | 0 |"


def test_results_are_written_and_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(results, "RESULTS", tmp_path / "results")
    write_csv("a", [{"x": 1, "y": "two"}])
    write_markdown("a", "first", "second")
    with (tmp_path / "results" / "a.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == [{"x": "1", "y": "two"}]
    assert (tmp_path / "results" / "a.md").read_text() == "first\n\nsecond\n"
    assert "first\n\nsecond\n" in capsys.readouterr().out
