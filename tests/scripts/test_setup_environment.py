import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pip_command import PipError
from setup_environment import KINDS, ROOT, STAMP, SetupError, is_current, is_usable, set_up, write_stamp


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with this one's requirements and an empty .venv."""
    root = tmp_path / "project"
    shutil.copytree(ROOT / "requirements", root / "requirements")
    (root / "client").mkdir()
    (root / ".venv").mkdir()
    for file in ("pyproject.toml", "client/pyproject.toml"):
        (root / file).write_text("[project]\n")
    return root


def append(file: Path) -> None:
    file.write_text(file.read_text() + "# changed\n")


def test_an_environment_without_a_stamp_is_not_current(project: Path) -> None:
    assert not is_current("serve", project)
    assert not is_current("test", project)
    assert not is_current("torch", project)


def test_the_test_environment_also_serves(project: Path) -> None:
    write_stamp("test", project)
    assert is_current("serve", project)
    assert is_current("test", project)
    assert not is_current("torch", project)


def test_the_serving_environment_does_not_test(project: Path) -> None:
    write_stamp("serve", project)
    assert is_current("serve", project)
    assert not is_current("test", project)


@pytest.mark.parametrize(
    "file",
    ["requirements/serve.lock", "requirements/tritonserver.lock", "pyproject.toml", "client/pyproject.toml"],
)
def test_a_change_of_what_is_installed_ends_the_stamp(project: Path, file: str) -> None:
    write_stamp("serve", project)
    append(project / file)
    assert not is_current("serve", project)


def test_a_change_of_the_test_lock_leaves_the_server_alone(project: Path) -> None:
    write_stamp("test", project)
    append(project / "requirements/test.lock")
    assert is_current("serve", project)
    assert not is_current("test", project)


def test_a_moved_project_is_installed_again(project: Path) -> None:
    write_stamp("serve", project)
    moved = project.rename(project.with_name("moved"))
    assert not is_current("serve", moved)


def test_another_python_is_installed_again(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_stamp("serve", project)
    monkeypatch.setattr(sys, "version_info", (3, 99, 0, "final", 0))
    assert not is_current("serve", project)


def test_a_failed_installation_leaves_no_stamp(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    kind = KINDS["torch"]
    python = project / kind.directory / "bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    write_stamp("torch", project)
    (project / "requirements/test.lock").write_text(f"absent==1.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(PipError):
        set_up("torch", project)
    assert not (project / kind.directory / STAMP).exists()


def test_a_full_disk_is_refused_before_anything_is_made(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KINDS["serve"], "needed_mb", 10**9)
    with pytest.raises(SetupError, match="MB free"):
        set_up("serve", project)
    assert list((project / ".venv").iterdir()) == []


def test_only_an_environment_of_the_running_python_is_kept(tmp_path: Path) -> None:
    assert is_usable(Path(sys.prefix))
    assert not is_usable(tmp_path)


def test_the_command_explains_itself() -> None:
    command = [sys.executable, str(ROOT / "scripts/setup_environment.py"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ))
    assert "--test" in done.stdout
    assert "--torch" in done.stdout
