import sys
from pathlib import Path

import pytest
from pip_command import failure_sentence, run_pip
from preflight import SetupError

# Nothing listens on the discard port.
NO_INDEX = ["--index-url", "http://127.0.0.1:9/simple", "--retries", "0"]


def test_an_unreachable_index_is_told_apart(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SetupError, match="No package index can be reached"):
        run_pip(Path(sys.executable), ["download", *NO_INDEX, "packrank-does-not-exist"], tmp_path)
    assert "ERROR" in capfd.readouterr().err, "pip's own words are shown too"


def test_success_passes_pips_output_on(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run_pip(Path(sys.executable), ["--version"], tmp_path)
    assert capfd.readouterr().out.startswith("pip ")


def test_a_full_disk_is_told_with_what_is_free(tmp_path: Path) -> None:
    output = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n"
    sentence = failure_sentence(output, tmp_path)
    assert "disk is full" in sentence
    assert f"MB in {tmp_path}" in sentence


def test_a_bad_certificate_is_told_apart_from_no_network(tmp_path: Path) -> None:
    output = "Retrying (Retry(total=0)) after SSLError(SSLCertVerificationError: CERTIFICATE_VERIFY_FAILED)\n"
    assert "PIP_CERT" in failure_sentence(output, tmp_path)


def test_other_failures_are_left_to_pips_words(tmp_path: Path) -> None:
    output = "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.\n"
    assert "own words" in failure_sentence(output, tmp_path)
