"""Every command of Dockerfile and compose file, run without Docker: the wheel's tritonserver stands for NVIDIA's."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from packrank_client import RerankClient
from packrank_server.ports import Ports, free_ports
from tests.support.image import DEPLOY, Image, build_image, compose_service, instructions
from tests.support.repository import copied_repository

pytestmark = pytest.mark.slow

ENVIRONMENT = {"TRITON_REGISTRY": "registry", "MODEL": "/checkpoints/tiny", "MAX_PAIR_TOKENS": "512", "CONFIG": "l4"}


@pytest.fixture(scope="module")
def image(tiny_checkpoint: Path) -> Iterator[Image]:
    # not below pytest's own directory, which no other user may enter
    root = Path(tempfile.mkdtemp(prefix="packrank-image-"))
    root.chmod(0o755)
    try:
        built = build_image(root)
        shutil.copytree(tiny_checkpoint, root / "checkpoints" / "tiny")
        yield built
    finally:
        shutil.rmtree(root)


@pytest.fixture
def empty_volume(image: Image) -> Path:
    volume = image.root / "var" / "lib" / "packrank"
    shutil.rmtree(volume / "model_repository", ignore_errors=True)
    return volume


@contextmanager
def container(image: Image, name: str, log: Path, *flags: str) -> Iterator[subprocess.Popen[bytes]]:
    service = compose_service(name, ENVIRONMENT)
    with log.open("wb") as file:
        process = subprocess.Popen(
            image.command([*service["command"], *flags]),
            cwd=image.path(image.directory),
            env=image.container(service),
            stdout=file,
            stderr=file,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(120)


def wait_for(process: subprocess.Popen[bytes], log: Path, words: str, attempts: int = 3000) -> None:
    for _ in range(attempts):
        if words in log.read_text():
            return
        if process.poll() is not None:
            break
        signal.sigtimedwait([], 0.1)
    pytest.fail(f"never logged {words!r}: {log.read_text()}")


def is_healthy(image: Image, port: int) -> bool:
    probe = [part.replace(":8080", f":{port}") for part in image.health]
    return subprocess.run(probe, env=image.environment, capture_output=True, check=False).returncode == 0


def run_service(image: Image, name: str, **environment: str) -> subprocess.CompletedProcess[str]:
    service = compose_service(name, ENVIRONMENT | environment)
    return subprocess.run(
        image.command(service["command"]),
        cwd=image.path(image.directory),
        env=image.container(service),
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_first_start_builds_the_model_serves_it_and_ends_with_sigterm(
    image: Image, empty_volume: Path, tmp_path: Path
) -> None:
    ports, port, log = free_ports(), free_ports().http, tmp_path / "log"
    with container(image, "cpu", log, f"--port={port}", *port_flags(ports)) as process:
        wait_for(process, log, "serving on")
        assert "published build" in log.read_text()
        for _ in range(600):
            if is_healthy(image, port):
                break
            signal.sigtimedwait([], 0.1)
        assert is_healthy(image, port), log.read_text()
        if image.user and image.user[0] == "setpriv":
            assert user_of(process.pid) == image.settings["USER"].partition(":")[0]
        with RerankClient(f"127.0.0.1:{ports.grpc}") as client:
            assert len(list(client.rerank("who?", ["me", "you"]))) == 2
        process.send_signal(getattr(signal, image.settings["STOPSIGNAL"]))
        assert process.wait(110) == 0, log.read_text()
    assert not is_healthy(image, port)
    assert "Traceback" not in log.read_text()
    assert "one request at a time" not in log.read_text(), "the compiled batching strategy is served"
    in_volume = {path.name for path in (empty_volume / "model_repository").rglob("*") if path.is_file()}
    assert in_volume == {"build.json", "model.onnx", "model.onnx.data", "parity.json", "tokenizer.json"}, "and no code"

    once_more = run_service(image, "gpu")
    assert once_more.returncode == 1
    assert "make engine: no GPU here" in once_more.stderr
    assert "published build" not in once_more.stdout + once_more.stderr, "the model was there"
    ahead_of_time = run_service(image, "engine")
    assert (ahead_of_time.returncode, "no GPU here" in ahead_of_time.stderr) == (1, True)


@pytest.mark.parametrize(
    ("service", "kind", "other"),
    [("cpu", "model", {"MODEL": "/checkpoints/other"}), ("gpu", "engine", {"CONFIG": "a10g"})],
)
def test_a_build_that_failed_is_not_tried_again_by_itself(
    service: str, kind: str, other: dict[str, str], image: Image, empty_volume: Path, repository: Path
) -> None:
    if kind == "engine":
        filled_volume(image, repository, empty_volume)
    first = run_service(image, service, MODEL="/checkpoints/missing")
    assert (first.returncode, f"make {kind}:" in first.stderr) == (1, True), first.stderr
    restarted = run_service(image, service, MODEL="/checkpoints/missing")
    assert restarted.returncode == 1
    assert f"this {kind} build has failed before" in restarted.stderr
    assert f"docker compose run --rm {kind}" in restarted.stderr
    assert f"make {kind}:" not in restarted.stderr, "it was not built"
    asked_again = run_service(image, kind, MODEL="/checkpoints/missing")
    assert f"make {kind}:" in asked_again.stderr
    changed = run_service(image, service, **({"MODEL": "/checkpoints/missing"} | other))
    assert f"make {kind}:" in changed.stderr


def test_sigterm_ends_a_build_and_leaves_nothing_of_it(image: Image, empty_volume: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with container(image, "model", log) as process:
        wait_for(process, log, "writing the packed graph")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM, log.read_text()
    assert not [path for path in (empty_volume / "model_repository").rglob("*") if path.is_file()], "no marker either"
    assert not list((empty_volume / "model_repository").glob(".staging-*"))


def test_without_a_model_it_says_what_to_set(image: Image, empty_volume: Path) -> None:
    done = run_service(image, "cpu", MODEL="")
    assert done.returncode == 1
    assert "set MODEL" in done.stderr


def test_a_read_only_volume_is_served_and_not_changed(
    image: Image, empty_volume: Path, repository: Path, tmp_path: Path
) -> None:
    volume = filled_volume(image, repository, empty_volume)
    (volume / "ranker" / "1" / "model.py").write_text("raise SystemExit('code of an older image')\n")
    before = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in volume.rglob("*")}
    for path in before:
        path.chmod(0o555 if path.is_dir() else 0o444)
    ports, port, log = free_ports(), free_ports().http, tmp_path / "log"
    try:
        with container(image, "cpu", log, f"--port={port}", *port_flags(ports)) as process:
            wait_for(process, log, "serving on")
            with RerankClient(f"127.0.0.1:{ports.grpc}") as client:
                assert len(list(client.rerank("who?", ["me", "you"]))) == 2
    finally:
        for path in before:
            path.chmod(0o755)
    assert {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in volume.rglob("*")} == before


def test_only_the_gateway_is_published() -> None:
    for name in ("gpu", "cpu"):
        service = compose_service(name, ENVIRONMENT)
        assert service["ports"] == ["127.0.0.1:8080:8080"]
        assert "TRITON_HOST" not in service["environment"]
    grpc = yaml.safe_load((DEPLOY / "compose.grpc.yaml").read_text())["services"]
    assert grpc.keys() == {"gpu", "cpu"}
    for service in grpc.values():
        assert service["environment"] == {"TRITON_HOST": "0.0.0.0"}  # noqa: S104
        assert service["ports"] == ["${PUBLISH:-127.0.0.1}:8001:8001"]
    assert dict(instructions())["EXPOSE"] == "8080"


def filled_volume(image: Image, repository: Path, volume: Path) -> Path:
    """A volume that holds a built model, owned by the image's user."""
    filled = copied_repository(repository, volume / "model_repository")
    if image.user[:1] == ["setpriv"]:
        for path in [filled, *filled.rglob("*")]:
            os.chown(path, 1000, 1000)
    return filled


def port_flags(ports: Ports) -> list[str]:
    return [f"--http-port={ports.http}", f"--grpc-port={ports.grpc}", f"--metrics-port={ports.metrics}"]


def user_of(pid: int) -> str:
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("Uid:")]
    return line.split()[1]
