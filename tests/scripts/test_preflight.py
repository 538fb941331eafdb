import ast
from pathlib import Path

import preflight
import pytest

SCRIPTS = Path(preflight.__file__).parent


@pytest.mark.parametrize("version", preflight.PYTHONS)
def test_supported_pythons_lack_nothing(version: tuple[int, int]) -> None:
    assert preflight.python_lack(version) == ""


@pytest.mark.parametrize("version", [(2, 7), (3, 6), (3, 10), (3, 14)])
def test_another_python_is_told_which_ones_work_and_how_to_name_one(version: tuple[int, int]) -> None:
    sentence = preflight.python_lack(version)
    assert f"Python {version[0]}.{version[1]}" in sentence
    assert "3.11, 3.12 or 3.13" in sentence
    assert "make PYTHON=" in sentence


@pytest.mark.parametrize(("system", "machine"), [("Linux", "aarch64"), ("Darwin", "x86_64"), ("Darwin", "arm64")])
def test_another_machine_is_named(system: str, machine: str) -> None:
    assert f"{system} on {machine}" in preflight.machine_lack(system, machine)


def test_linux_on_x86_64_lacks_nothing() -> None:
    assert preflight.machine_lack("Linux", "x86_64") == ""


@pytest.mark.parametrize("libc", ["glibc 2.35", "glibc 2.36", "glibc 2.41", "glibc 3.0"])
def test_new_c_libraries_suffice(libc: str) -> None:
    assert preflight.glibc_lack(libc) == ""


@pytest.mark.parametrize("libc", ["glibc 2.31", "glibc 2.4", "musl 2.40", ""])
def test_old_and_other_c_libraries_do_not(libc: str) -> None:
    sentence = preflight.glibc_lack(libc)
    assert "glibc 2.35 or newer" in sentence
    assert libc in sentence


def test_disk_has_to_hold_what_is_needed() -> None:
    assert preflight.disk_lack(Path("/there"), 750, 750) == ""
    assert "/there has 749 MB free, and the environment needs 750 MB" in preflight.disk_lack(Path("/there"), 749, 750)


def test_what_apt_get_can_fetch_is_no_lack() -> None:
    assert preflight.package_lack(["pip", "libpython3.11.so.1.0"], has_apt=True) == ""
    assert preflight.package_lack([], has_apt=False) == ""
    assert "pip and libpython3.11.so.1.0" in preflight.package_lack(["pip", "libpython3.11.so.1.0"], has_apt=False)


def test_a_directory_that_cannot_be_written_is_named() -> None:
    assert "cannot write to /proc/self" in preflight.write_lack(Path("/proc/self"))


def test_all_lacks_are_found_at_once(tmp_path: Path) -> None:
    assert preflight.lacks(tmp_path, needed_mb=0) == []
    assert any("MB free" in lack for lack in preflight.lacks(tmp_path, needed_mb=10**9))


@pytest.mark.parametrize("script", ["setup_environment", "preflight", "pip_command", "debian_package"])
def test_an_old_python_can_read_the_scripts_that_refuse_it(script: str) -> None:
    tree = ast.parse((SCRIPTS / f"{script}.py").read_text(), feature_version=(3, 6))
    for node in ast.walk(tree):
        # `list[str]` and `str | None` fail when Python 3.6 evaluates them, so they stand in quotes
        if isinstance(node, ast.FunctionDef):
            annotations = [*(argument.annotation for argument in node.args.args), node.returns]
            assert not any(isinstance(annotation, ast.Subscript | ast.BinOp) for annotation in annotations), node.name
        assert not isinstance(node, ast.AnnAssign)
