from __future__ import annotations

from tests.support.repository import ROOT


def test_the_gateway_uses_only_the_clients_public_modules() -> None:
    files = sorted((ROOT / "gateway").rglob("*.py"))
    assert files
    assert [file.name for file in files if "packrank_client._" in file.read_text(encoding="utf-8")] == []
