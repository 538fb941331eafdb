from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from packrank_gateway.settings import VARIABLE_PREFIX, Settings, SettingsError, flag, settings_from, variable


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Remove all settings from the environment, so that a test sets its own."""
    for name in list(os.environ):
        if name.startswith(VARIABLE_PREFIX):
            monkeypatch.delenv(name)
    return monkeypatch


def test_defaults() -> None:
    assert settings_from([]) == Settings()
    assert Settings().triton == ("localhost:8001",)


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().port = 1


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("port", "9000", 9000),
        ("triton", "a:1, b:2", ("a:1", "b:2")),
        ("timeout_s", "2.5", 2.5),
        ("api_keys_file", "/run/keys", Path("/run/keys")),
        ("api_keys_file", "", None),
        ("strict_model_names", "true", True),
        ("cors_origins", "https://a.example", ("https://a.example",)),
    ],
)
def test_flag_and_variable_are_the_same_setting(
    name: str, text: str, value: object, environment: pytest.MonkeyPatch
) -> None:
    assert getattr(settings_from([flag(name), text]), name) == value
    environment.setenv(variable(name), text)
    assert getattr(settings_from([]), name) == value


def test_the_flag_wins(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PACKRANK_PORT", "2")
    assert settings_from(["--port=1"]).port == 1


def test_a_switch_needs_no_value(environment: pytest.MonkeyPatch) -> None:
    assert settings_from(["--strict-model-names"]).strict_model_names
    environment.setenv("PACKRANK_STRICT_MODEL_NAMES", "1")
    assert not settings_from(["--strict-model-names=false"]).strict_model_names


@pytest.mark.parametrize(
    ("arguments", "variables", "says"),
    [
        (["--port=http"], {}, "--port is 'http'; give a whole number"),
        ([], {"PACKRANK_TIMEOUT_S": "soon"}, "PACKRANK_TIMEOUT_S is 'soon'; give a number"),
        (["--strict-model-names=perhaps"], {}, "give true or false"),
        (["--triton="], {}, "--triton is empty; name at least one"),
        ([], {"PACKRANK_MODEL_NAMES": " , "}, "PACKRANK_MODEL_NAMES is empty; name at least one"),
        (["--port=65536"], {}, "--port is 65536; give at most 65535"),
        (["--timeout-s=nan"], {}, "--timeout-s is 'nan'; give a finite number"),
        (["--max-passages=0"], {}, "--max-passages is 0; give at least 1"),
        (["--max-documents=30000"], {}, "--max-documents is 30000 but --max-pending-pairs only 20000: the largest"),
        (["--timeout-s=400"], {}, "--timeout-s is 400.0 but --max-timeout-s only 300.0"),
    ],
)
def test_what_cannot_work_is_refused_with_the_remedy(
    arguments: list[str], variables: dict[str, str], says: str, environment: pytest.MonkeyPatch
) -> None:
    for name, text in variables.items():
        environment.setenv(name, text)
    with pytest.raises(SettingsError, match=says):
        settings_from(arguments)


def test_help_names_every_flag_variable_and_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        settings_from(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    for name in Settings.model_fields:
        assert flag(name) in text
        assert f"; {variable(name)})" in text
