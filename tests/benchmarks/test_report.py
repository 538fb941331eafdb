from benchmarks.report import markdown_table


def test_the_table_lines_up() -> None:
    rows: list[dict[str, float | str]] = [{"a": 1, "b": 2.5, "c": 0}, {"a": 10, "b": "none", "c": 0}]
    assert markdown_table(rows, ["a", "b"]) == "|  a |    b |\n|---:|-----:|\n|  1 |  2.5 |\n| 10 | none |"
    assert markdown_table(rows[:1]) == "| a |   b | c |\n|--:|----:|--:|\n| 1 | 2.5 | 0 |"
