from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from packrank_gateway.settings import Settings, SettingsError, flag, settings_from, variable


def test_defaults() -> None:
    assert settings_from([], {}) == Settings()


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("port", "9000", 9000),
        ("triton", "a:1, b:2", ("a:1", "b:2")),
        ("timeout_s", "2.5", 2.5),
        ("api_keys_file", "/run/keys", Path("/run/keys")),
        ("strict_model_names", "true", True),
        ("cors_origins", "https://a.example", ("https://a.example",)),
    ],
)
def test_flag_and_variable_are_the_same_setting(name: str, text: str, value: object) -> None:
    assert getattr(settings_from([flag(name), text], {}), name) == value
    assert getattr(settings_from([], {variable(name): text}), name) == value


def test_the_flag_wins() -> None:
    assert settings_from(["--port=1"], {"PACKRANK_PORT": "2"}).port == 1


def test_a_switch_needs_no_value() -> None:
    assert settings_from(["--strict-model-names"], {}).strict_model_names
    assert not settings_from(["--strict-model-names=false"], {"PACKRANK_STRICT_MODEL_NAMES": "1"}).strict_model_names


@pytest.mark.parametrize(
    ("arguments", "environment", "says"),
    [
        (["--port=http"], {}, "--port is 'http'; give a whole number"),
        ([], {"PACKRANK_TIMEOUT_S": "soon"}, "PACKRANK_TIMEOUT_S is 'soon'; give a number"),
        (["--strict-model-names=perhaps"], {}, "give true or false"),
        (["--triton="], {}, "--triton is empty"),
        (["--max-passages=0"], {}, "--max-passages is 0; give at least 1"),
        (["--max-documents=30000"], {}, "--max-documents is 30000 but --max-pending-pairs only 20000: the largest"),
        (["--timeout-s=400"], {}, "--timeout-s is 400.0 but --max-timeout-s only 300.0"),
    ],
)
def test_what_cannot_work_is_refused_with_the_remedy(
    arguments: list[str], environment: dict[str, str], says: str
) -> None:
    with pytest.raises(SettingsError, match=says):
        settings_from(arguments, environment)


def test_help_names_every_flag_variable_and_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        settings_from(["--help"], {})
    text = " ".join(capsys.readouterr().out.split())
    for setting in fields(Settings):
        assert flag(setting.name) in text
        assert f"; {variable(setting.name)})" in text
