"""Every command of Dockerfile and compose file, run without Docker: the wheel's tritonserver stands for NVIDIA's."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from packrank_client import RerankClient
from packrank_server.tritonserver import Ports, free_ports
from tests.support.image import Image, build_image, compose_service

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
    assert "one request at a time" not in log.read_text(), "the compiled batching strategy reached the volume"

    once_more = run_service(image, "gpu")
    assert once_more.returncode == 1
    assert "make engine: no GPU here" in once_more.stderr
    assert "published build" not in once_more.stdout + once_more.stderr, "the model was there"
    ahead_of_time = run_service(image, "engine")
    assert (ahead_of_time.returncode, "no GPU here" in ahead_of_time.stderr) == (1, True)


def test_sigterm_ends_a_build_and_leaves_nothing_of_it(image: Image, empty_volume: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with container(image, "model", log) as process:
        wait_for(process, log, "writing the packed graph")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM, log.read_text()
    repository = empty_volume / "model_repository"
    assert not list(repository.glob(".staging-*"))
    assert not (repository / "ranker" / "1" / "build.json").exists()
    assert (repository / "ranker" / "1" / "batchstrategy.so").is_file()


def test_without_a_model_it_says_what_to_set(image: Image, empty_volume: Path) -> None:
    done = run_service(image, "cpu", MODEL="")
    assert done.returncode == 1
    assert "set MODEL" in done.stderr


def test_a_file_that_a_server_has_mapped_is_replaced_and_not_overwritten(image: Image, empty_volume: Path) -> None:
    run_service(image, "cpu", MODEL="")
    library = empty_volume / "model_repository" / "ranker" / "1" / "batchstrategy.so"
    compiled = library.read_bytes()
    inode = library.stat().st_ino
    run_service(image, "cpu", MODEL="")
    assert library.stat().st_ino == inode, "nothing to do"
    library.write_bytes(b"of an older image")
    with library.open("rb") as mapped:
        run_service(image, "cpu", MODEL="")
        assert mapped.read() == b"of an older image"
    assert library.read_bytes() == compiled


def port_flags(ports: Ports) -> list[str]:
    return [f"--http-port={ports.http}", f"--grpc-port={ports.grpc}", f"--metrics-port={ports.metrics}"]


def user_of(pid: int) -> str:
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("Uid:")]
    return line.split()[1]
