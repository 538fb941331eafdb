from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.repository import ROOT


@pytest.fixture(scope="session")
def perf_analyzer() -> Path:
    """The real perf_analyzer."""
    command = [sys.executable, str(ROOT / "scripts" / "provide_perf_analyzer.py")]
    return Path(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())
