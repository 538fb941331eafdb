import subprocess
import sys

from packrank_build.peak_memory import peak_memory_gb

CHILD = "from packrank_build.peak_memory import peak_memory_gb; print(peak_memory_gb())"


def test_a_process_counts_its_own_memory_only() -> None:
    block = bytearray(400_000_000)
    assert peak_memory_gb() > 0.4
    child = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, check=True)
    assert 0 < float(child.stdout) < 0.2
    del block
