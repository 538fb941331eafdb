from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CLIENT = Path(__file__).parents[2] / "client"

# tritonclient[grpc], numpy, and those of their dependencies that they import.
DEPENDENCIES = {
    *("tritonclient", "numpy", "grpc", "google", "packaging", "rapidjson"),
    *("ml_dtypes", "typing_extensions", "cython_runtime"),
}
SCRIPT = """
import sys
before = set(sys.modules)
import packrank_client, packrank_client.cli.command_line
roots = {name.partition(".")[0] for name in set(sys.modules) - before}
print(packrank_client.__file__)
print(*(root for root in roots if root not in sys.stdlib_module_names and not root.startswith("_cython")))
"""


def test_the_client_installs_alone(tmp_path: Path) -> None:
    target = tmp_path / "site"
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(target)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(CLIENT)], check=True)
    # -I ignores the working directory and PYTHONPATH
    script = f"import sys; sys.path.insert(0, {str(target)!r})\n{SCRIPT}"
    run = subprocess.run([sys.executable, "-I", "-c", script], check=True, capture_output=True, text=True, cwd=tmp_path)
    location, imported = run.stdout.splitlines()
    assert Path(location) == target / "packrank_client" / "__init__.py"
    assert set(imported.split()) <= {"packrank_client", *DEPENDENCIES}
    assert (target / "packrank_client" / "py.typed").is_file()
    help_text = subprocess.run(
        [target / "bin" / "rerank", "--help"],
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(target)},
    ).stdout
    assert "rerank [options] QUERY [FILE]" in help_text
