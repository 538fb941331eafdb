import ast
from pathlib import Path

import preflight
import pytest
from preflight import Machine, lacks

SCRIPTS = Path(preflight.__file__).parent
GOOD = Machine(
    directory=Path("/there"),
    writable=True,
    free_mb=750,
    python=(3, 11),
    platform="Linux on x86_64",
    libc="glibc 2.36",
    missing=[],
    has_apt=True,
)


def only_lack(machine: Machine) -> str:
    (sentence,) = lacks(machine, needed_mb=750)
    return sentence


@pytest.mark.parametrize("version", preflight.PYTHONS)
def test_supported_pythons_lack_nothing(version: tuple[int, int]) -> None:
    assert lacks(GOOD._replace(python=version), needed_mb=750) == []


@pytest.mark.parametrize("version", [(2, 7), (3, 6), (3, 10), (3, 14)])
def test_another_python_is_told_which_ones_work_and_how_to_name_one(version: tuple[int, int]) -> None:
    sentence = only_lack(GOOD._replace(python=version))
    assert f"Python {version[0]}.{version[1]}" in sentence
    assert "3.11, 3.12 or 3.13" in sentence
    assert "make PYTHON=" in sentence


@pytest.mark.parametrize("platform", ["Linux on aarch64", "Darwin on x86_64", "Darwin on arm64"])
def test_another_machine_is_named(platform: str) -> None:
    assert platform in only_lack(GOOD._replace(platform=platform))


@pytest.mark.parametrize("libc", ["glibc 2.35", "glibc 2.36", "glibc 2.41", "glibc 3.0"])
def test_new_c_libraries_suffice(libc: str) -> None:
    assert lacks(GOOD._replace(libc=libc), needed_mb=750) == []


@pytest.mark.parametrize("libc", ["glibc 2.31", "glibc 2.4", "musl 2.40", ""])
def test_old_and_other_c_libraries_do_not(libc: str) -> None:
    sentence = only_lack(GOOD._replace(libc=libc))
    assert "glibc 2.35 or newer" in sentence
    assert libc in sentence


def test_disk_has_to_hold_what_is_needed() -> None:
    sentence = only_lack(GOOD._replace(free_mb=749))
    assert "/there has 749 MB free, and the environment needs 750 MB" in sentence


def test_what_apt_get_can_fetch_is_no_lack() -> None:
    lacking = GOOD._replace(missing=["pip", "libpython3.11.so.1.0"])
    assert lacks(lacking, needed_mb=750) == []
    assert lacks(GOOD._replace(has_apt=False), needed_mb=750) == []
    assert "pip and libpython3.11.so.1.0" in only_lack(lacking._replace(has_apt=False))


def test_a_directory_that_cannot_be_written_is_named() -> None:
    assert "cannot write to /there" in only_lack(GOOD._replace(writable=False))
    assert not preflight.this_machine(Path("/proc/self")).writable


def test_all_lacks_are_found_at_once(tmp_path: Path) -> None:
    machine = preflight.this_machine(tmp_path)
    assert lacks(machine, needed_mb=0) == []
    assert len(lacks(machine._replace(libc="musl 1.2", python=(3, 10)), needed_mb=10**9)) == 3


@pytest.mark.parametrize("script", ["setup_environment", "preflight"])
def test_an_old_python_reads_the_message_and_not_a_syntax_error(script: str) -> None:
    ast.parse((SCRIPTS / f"{script}.py").read_text(), feature_version=(3, 6))


def test_an_old_python_can_evaluate_the_annotations_of_preflight() -> None:
    for node in ast.walk(ast.parse((SCRIPTS / "preflight.py").read_text())):
        # Python 3.6 cannot evaluate `list[str]` and `str | None`, so they stand in quotes.
        annotations: list[ast.expr | None] = [node.annotation] if isinstance(node, ast.AnnAssign) else []
        if isinstance(node, ast.FunctionDef):
            annotations = [*(argument.annotation for argument in node.args.args), node.returns]
        assert not any(isinstance(annotation, ast.Subscript | ast.BinOp) for annotation in annotations), node


def test_the_python_is_judged_before_newer_syntax_is_imported() -> None:
    tree = ast.parse((SCRIPTS / "setup_environment.py").read_text())
    imports = [ast.unparse(node) for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    ours = [line for line in imports if line.split()[1] in {path.stem for path in SCRIPTS.glob("*.py")}]
    assert ours[0] == "import preflight"
