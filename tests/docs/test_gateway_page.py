"""docs/gateway.md matches the code, and its command works."""

from __future__ import annotations

import re
import shlex
import subprocess

import pytest

from packrank_gateway.dialects.dialect import Dialect
from packrank_gateway.errors import ERRORS
from packrank_gateway.settings import Settings
from tests.support.repository import ROOT
from tests.support.running_gateway import RunningGateway

PAGE = (ROOT / "docs" / "gateway.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
COLUMNS = (Dialect.NIM, Dialect.COHERE, Dialect.VLLM, Dialect.TEI)


def test_the_error_table_matches_the_code() -> None:
    table = PAGE.partition("## Errors")[2]
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (.*?) \|$", table, re.MULTILINE)
    written = {kind: (int(status), [cell.strip() for cell in cells.split("|")]) for kind, status, cells in rows}
    assert written == {
        kind: (row.http_status, [str(row.others.get(dialect, "")) for dialect in COLUMNS])
        for kind, row in ERRORS.items()
    }


def test_every_setting_is_described() -> None:
    table = PAGE.partition("## Settings")[2].partition("## Limits")[0]
    named = set(re.findall(r"`(\w+)`", table))
    assert set(Settings.model_fields) <= named
    for setting in ("max_passages", "max_documents", "timeout_s", "max_timeout_s", "drain_timeout_s"):
        assert re.search(rf"\b{Settings.model_fields[setting].default:g}\b", table), setting


def test_every_path_answers(gateway: RunningGateway) -> None:
    document = gateway.http.get("/openapi.json").json()["paths"]
    rows = [line for line in PAGE.partition("## Paths")[2].partition("\n## ")[0].splitlines() if line.startswith("|")]
    paths = set(re.findall(r"(/[\w/{}.-]+)", " ".join(re.findall(r"`(.*?)`", "\n".join(rows)))))
    assert len(paths) >= 12
    assert paths <= set(document)


@pytest.mark.parametrize(("page", "answer"), [(PAGE, '"rankings"'), (README, '"relevance_score"')])
def test_the_curl_command_works(page: str, answer: str, gateway: RunningGateway) -> None:
    (command,) = [line[2:] for line in page.splitlines() if line.startswith("$ curl")]
    words = shlex.split(command.replace("http://localhost:8080", gateway.url))
    done = subprocess.run([*words, "--silent", "--fail"], capture_output=True, text=True, check=True)
    assert answer in done.stdout
