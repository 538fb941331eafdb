import hashlib
from pathlib import Path

import pytest
from fetch_package import cached_wheel, fetch_package
from pip_command import PipError

CONTENT = b"the content of a wheel"


def lock(directory: Path, content: bytes = CONTENT) -> Path:
    file = directory / "small.lock"
    file.write_text(f"a-package==1.2 \\\n    --hash=sha256:{hashlib.sha256(content).hexdigest()}\n    # via x\n")
    return file


def test_a_wheel_with_the_locked_hash_is_not_downloaded_again(tmp_path: Path) -> None:
    wheel = tmp_path / "a_package-1.2-py3-none-any.whl"
    wheel.write_bytes(CONTENT)
    assert fetch_package(lock(tmp_path), tmp_path) == wheel


def test_a_damaged_wheel_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "a_package-1.2-py3-none-any.whl").write_bytes(CONTENT[:-1])
    assert cached_wheel(lock(tmp_path), tmp_path) is None


def test_another_version_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "a_package-1.3-py3-none-any.whl").write_bytes(CONTENT)
    assert cached_wheel(lock(tmp_path), tmp_path) is None


def test_a_lock_of_several_packages_is_refused(tmp_path: Path) -> None:
    several = tmp_path / "several.lock"
    several.write_text("a==1\nb==2\n")
    with pytest.raises(ValueError, match="pins 2 packages"):
        cached_wheel(several, tmp_path)


def test_a_failed_download_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(PipError, match="No package index can be reached"):
        fetch_package(lock(tmp_path), tmp_path / "packages")
