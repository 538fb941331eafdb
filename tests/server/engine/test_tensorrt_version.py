import shutil
import subprocess
from pathlib import Path

import pytest
import tensorrt_rtx_bindings
import tensorrt_rtx_libs

from packrank_server.engine.tensorrt_version import backend_library, library_version, server_tensorrt_version
from packrank_server.installation import find_installation

# TensorRT-RTX's library states its version through the same four functions as TensorRT's.
(LIBRARY,) = Path(tensorrt_rtx_libs.__path__[0]).glob("libtensorrt_rtx.so.*")


def test_a_library_states_its_version() -> None:
    assert library_version(LIBRARY) == tensorrt_rtx_bindings.__version__


def test_a_server_without_the_backend_has_no_tensorrt() -> None:
    assert server_tensorrt_version(find_installation().binary) is None


@pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler to link a library")
def test_the_servers_version_is_that_of_the_library_its_backend_is_linked_with(tmp_path: Path) -> None:
    binary = tmp_path / "bin" / "tritonserver"
    backend = backend_library(binary)
    backend.parent.mkdir(parents=True)
    libraries = tmp_path / "lib"
    libraries.mkdir()
    versions = {"Major": 11, "Minor": 2, "Patch": 3, "Build": 45}
    functions = "".join(f"int getInferLib{part}Version() {{ return {number}; }}\n" for part, number in versions.items())
    (tmp_path / "nvinfer.c").write_text(functions)
    (tmp_path / "backend.c").write_text(
        "int getInferLibMajorVersion(); int f() { return getInferLibMajorVersion(); }\n"
    )
    nvinfer = libraries / "libnvinfer.so.11"
    link = ["cc", "-shared", "-fPIC", "-o"]
    subprocess.run([*link, nvinfer, tmp_path / "nvinfer.c", "-Wl,-soname,libnvinfer.so.11"], check=True)
    subprocess.run([*link, backend, tmp_path / "backend.c", nvinfer, f"-Wl,-rpath,{libraries}"], check=True)
    assert server_tensorrt_version(binary) == "11.2.3.45"
