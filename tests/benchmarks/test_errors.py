import pytest

from benchmarks.errors import BenchmarkError, exit_code


def test_an_expected_error_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise BenchmarkError("nothing to measure")

    assert exit_code("make bench-x", fail) == 1
    assert capsys.readouterr().err == "make bench-x: nothing to measure\n"
    assert exit_code("make bench-x", lambda: None) == 0


def test_other_errors_keep_their_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        exit_code("make bench-x", lambda: print(1 // 0))
