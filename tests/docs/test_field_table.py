"""The table of fields in docs/gateway.md is the code's."""

from __future__ import annotations

from packrank_gateway.dialects.field_table import COLUMNS, mark_of, render
from packrank_gateway.dialects.parts.fields import RequestModel
from tests.support.repository import ROOT

BEGIN = "<!-- fields: python -m packrank_gateway.dialects.field_table -->\n"
END = "<!-- end of fields -->"


def test_the_page_has_the_codes_table() -> None:
    page = (ROOT / "docs" / "gateway.md").read_text(encoding="utf-8")
    assert page.partition(BEGIN)[2].partition(END)[0] == render()


def test_every_request_is_a_column() -> None:
    def below(model: type[RequestModel]) -> list[type[RequestModel]]:
        return [model, *(each for child in model.__subclasses__() for each in below(child))]

    with_texts = [model for model in below(RequestModel) if {"query", "inputs", "text_1"} & model.model_fields.keys()]
    assert set(COLUMNS.values()) == set(with_texts)


def test_no_marked_field_is_required() -> None:
    marked = [field for model in COLUMNS.values() for field in model.model_fields.values() if mark_of(field)]
    assert len(marked) > 20
    assert not any(field.is_required() for field in marked)
