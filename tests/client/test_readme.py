from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.scripted_server import ScriptedServer

README = (Path(__file__).parents[2] / "client" / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("number", range(2))
def test_the_code_runs(number: int, server: ScriptedServer, capsys: pytest.CaptureFixture[str]) -> None:
    code = BLOCKS[number].replace("localhost:8001", server.address)
    exec(compile(code, "README.md", "exec"), {"__name__": "__main__"})  # noqa: S102 (our own text)
    assert capsys.readouterr().out
    assert server.seen


def test_no_other_code() -> None:
    assert len(BLOCKS) == 2
