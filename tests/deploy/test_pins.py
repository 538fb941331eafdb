"""Dockerfile and compose file are sound, and name what the rest of the project names."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from packrank_build.tensorrt.targets import TARGETS
from tests.support.image import DEPLOY, compose_service, instructions
from tests.support.repository import ROOT

BIN = Path(sys.executable).parent
PAGE = (ROOT / "docs" / "container.md").read_text(encoding="utf-8")
REQUIRED = {"TRITON_REGISTRY": "registry"}


@pytest.mark.parametrize(
    "command",
    [
        ["hadolint", "Dockerfile"],
        ["check-jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml", "compose.grpc.yaml"],
    ],
    ids=lambda command: str(command[0]),
)
def test_the_linters_find_nothing(command: list[str]) -> None:
    done = subprocess.run(
        [str(BIN / command[0]), *command[1:]], cwd=DEPLOY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_release_is_pinned_once_by_tag_and_digest_and_its_tensorrt_is_ours() -> None:
    releases = [argument for word, argument in instructions() if word == "FROM" and "/" in argument]
    (release,) = releases
    found = re.fullmatch(
        r"\$\{TRITON_REGISTRY\}/(nvidia/tritonserver:\S+)@(sha256:[0-9a-f]{64}) AS tritonserver", release
    )
    assert found
    pins = (ROOT / "requirements.lock").read_text()
    tensorrt = re.search(r"^tensorrt-cu13-bindings==([\d.]+)", pins, re.MULTILINE)
    assert tensorrt
    assert f"| `{found[1]}` | {tensorrt[1]} |" in PAGE
    assert found[2] in PAGE


def test_what_git_ignores_stays_out_of_the_build() -> None:
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    kept_out = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    for pattern in ignored:
        if pattern and not pattern.startswith("#"):
            name = pattern.rstrip("/")
            assert (name if "/" in name else f"**/{name}") in kept_out, pattern


@pytest.mark.parametrize("name", ["gpu", "cpu", "model", "engine"])
def test_a_container_may_write_to_its_volume_only(name: str) -> None:
    service = compose_service(name, REQUIRED)
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert [volume if isinstance(volume, str) else volume["read_only"] for volume in service["volumes"]] == [
        "packrank:/var/lib/packrank",
        True,
    ]
    assert ("deploy" in service) == (name in {"gpu", "engine"})


def test_every_variable_of_the_compose_file_stands_in_the_example() -> None:
    used = set(re.findall(r"\$\{(\w+)", (DEPLOY / "compose.yaml").read_text()))
    example = dict(re.findall(r"^(\w+)=(.*)$", (DEPLOY / ".env.example").read_text(), re.MULTILINE))
    assert example.keys() == used | {"COMPOSE_PROFILES"}
    assert example["CONFIG"] in TARGETS


def test_the_page_runs_services_that_exist() -> None:
    for name in re.findall(r"docker compose (?:--profile \w+ )?run --rm (\w+)", PAGE):
        compose_service(name, REQUIRED)
