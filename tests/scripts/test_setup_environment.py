import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from preflight import SetupError
from setup_environment import ENVIRONMENTS, ROOT, STAMP, installations, is_current, is_usable, set_up, write_stamp


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with this one's requirements and an empty .venv."""
    root = tmp_path / "project"
    (root / ".venv").mkdir(parents=True)
    torch = ENVIRONMENTS["torch"].files
    for file in ("pyproject.toml", "requirements.lock", *torch):
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, root / file)
    return root


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_an_environment_without_a_stamp_is_not_current(project: Path) -> None:
    assert not is_current("serve", project)
    assert not is_current("test", project)
    assert not is_current("torch", project)


def test_the_test_environment_also_serves(project: Path) -> None:
    write_stamp("test", project)
    for name in ("serve", "gateway", "bench", "test"):
        assert is_current(name, project)
    assert not is_current("torch", project)


def test_the_environment_of_engines_holds_tensorrts_module(project: Path) -> None:
    text = "".join(requirements for _, requirements in installations(ENVIRONMENTS["engine"], project))
    assert "tensorrt-cu13-bindings==" in text
    assert "cuda-bindings==" in text
    write_stamp("engine", project)
    assert is_current("gateway", project)


def test_the_serving_environment_does_not_test(project: Path) -> None:
    write_stamp("serve", project)
    assert is_current("serve", project)
    assert not is_current("test", project)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("requirements.lock", "numpy==2", "numpy==3"),
        ("requirements.lock", "nvidia-pytriton==0", "nvidia-pytriton==1"),
        ("pyproject.toml", 'version = "0.1.0"', 'version = "0.2.0"'),
    ],
)
def test_a_change_of_what_is_installed_ends_the_stamp(project: Path, file: str, old: str, new: str) -> None:
    write_stamp("serve", project)
    replace(project / file, old, new)
    assert not is_current("serve", project)


def test_a_change_of_a_test_package_leaves_the_server_alone(project: Path) -> None:
    write_stamp("test", project)
    replace(project / "requirements.lock", "pytest==", "pytest==99.")
    assert is_current("serve", project)
    assert not is_current("test", project)


def test_another_setting_of_a_tool_changes_no_environment(project: Path) -> None:
    write_stamp("test", project)
    replace(project / "pyproject.toml", "line-length = 120", "line-length = 100")
    assert is_current("test", project)


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
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    venv = project / ENVIRONMENTS["torch"].directory
    python = venv / "bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    write_stamp("torch", project)
    replace(project / "requirements.lock", "annotated-types==", "annotated-types==99.")
    with pytest.raises(SetupError):
        set_up("torch", project)
    assert not (venv / STAMP).exists()


def test_a_full_disk_is_refused_before_anything_is_made(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENVIRONMENTS, "serve", ENVIRONMENTS["serve"]._replace(needed_mb=10**9))
    with pytest.raises(SetupError, match="MB free"):
        set_up("serve", project)
    assert list((project / ".venv").iterdir()) == []


def test_only_an_environment_of_the_running_python_is_kept(tmp_path: Path) -> None:
    assert is_usable(Path(sys.prefix))
    assert not is_usable(tmp_path)


def test_the_command_explains_itself() -> None:
    command = [sys.executable, str(ROOT / "scripts/setup_environment.py"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ))
    assert "test" in done.stdout
    assert "torch" in done.stdout
