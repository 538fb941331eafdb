"""What `make` builds: the default of `make model`, and what `make run` builds when there is no model."""

import os
import re
import subprocess

import pytest

from tests.support.repository import ROOT

BUILT = "model_repository/ranker/1/build.json"


def precision_of(target: str, **variables: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in ("PRECISION", "MAKEFLAGS")}
    command = ["make", "--dry-run", "--always-make", target]
    printed = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=ROOT, env=environment | variables
    ).stdout
    precision: str
    (precision,) = set(re.findall(r"--precision (\w+)", printed))
    return precision


@pytest.mark.parametrize(
    ("target", "variables", "precision"),
    [
        ("model", {}, "fp32"),  # the reference's scores, unless asked otherwise
        ("model", {"PRECISION": "auto"}, "auto"),
        ("model", {"PRECISION": "int8"}, "int8"),
        (BUILT, {}, "fp32"),  # the README shows the scores of `make run`
        (BUILT, {"PRECISION": "bf16"}, "bf16"),
    ],
)
def test_make_model_builds_fp32_unless_asked(target: str, variables: dict[str, str], precision: str) -> None:
    assert precision_of(target, **variables) == precision
