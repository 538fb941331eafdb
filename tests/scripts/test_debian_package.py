from pathlib import Path

import pytest
from debian_package import fetch
from preflight import SetupError


def test_a_machine_without_apt_get_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupError, match="apt-get, which would fetch libb64-0d, is not on this machine"):
        fetch(["libb64-0d"], tmp_path / "into")
    assert not (tmp_path / "into").exists()


def test_a_package_that_cannot_be_had_is_named(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="packrank-does-not-exist"):
        fetch(["packrank-does-not-exist"], tmp_path / "into")
