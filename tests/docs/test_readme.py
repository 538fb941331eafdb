"""The README's commands and code run, and print what it shows."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from packrank_backend.build_record import StaleBuild, read_build_record
from packrank_server.ports import free_ports
from packrank_server.tritonserver import TritonServer
from tests.support.repository import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
DEFAULT_MODEL = ".cache/demo-ranker"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def commands() -> list[str]:
    return [line.removeprefix("$ ") for block in blocks("console") for line in block.splitlines() if line[:2] == "$ "]


def table(output: str) -> list[list[str]]:
    """Rank, score, logit, tokens and passage of each line of a ranking."""
    lines = output.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("rank "))
    return [line.split(maxsplit=4) for line in lines[start + 1 : start + 9]]


def test_make_run_prints_what_the_readme_shows() -> None:
    try:
        source = read_build_record(ROOT / "model_repository" / "ranker" / "1").source
    except StaleBuild:
        source = DEFAULT_MODEL  # make run builds it
    if source != DEFAULT_MODEL:
        pytest.skip(f"{source} has been built here, the README shows the default model")
    ports = free_ports()
    command = ["make", "run", f"HTTP_PORT={ports.http}", f"GRPC_PORT={ports.grpc}", f"METRICS_PORT={ports.metrics}"]
    environment = os.environ | {"COLUMNS": "80"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shown = blocks("console")[0]
    for ours, theirs in zip(table(done.stdout), table(shown), strict=True):
        assert (ours[0], ours[3], ours[4]) == (theirs[0], theirs[3], theirs[4])
        assert float(ours[1]) == pytest.approx(float(theirs[1]), abs=2e-4)
        assert float(ours[2]) == pytest.approx(float(theirs[2]), abs=2e-4)
    for line in shown.split("\n\n")[1:]:
        assert line.strip() in done.stdout


@pytest.mark.parametrize("command", [command for command in commands() if ".venv/bin/rerank" in command])
def test_the_shell_commands_answer(command: str, server: TritonServer) -> None:
    rerank = shlex.quote(str(Path(sys.executable).with_name("rerank")))
    line = command.replace(".venv/bin/rerank", f"{rerank} --url {server.grpc_endpoint}")
    done = subprocess.run(line, shell=True, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S602
    assert done.returncode == 0, done.stderr
    if "--json" in command:
        assert json.loads(done.stdout)["results"]


@pytest.mark.parametrize("code", blocks("python"))
def test_the_code_runs(code: str, server: TritonServer, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(code.replace("localhost:8001", server.grpc_endpoint), "README.md", "exec"), {})  # noqa: S102
    assert len(capsys.readouterr().out.splitlines()) == 2
