"""Options of the web server: what is unsafe is refused, and where the token comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.config.web import WebOptions
from pipeline.core.errors import ConfigError, PipelineError
from pipeline.core.options import validated

TOKEN = "a-token-for-tests-only"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"host": "0.0.0.0"}, "a token is needed"),
        ({"host": "::"}, "a token is needed"),
        ({"names": ["cams.example.org"]}, "a token is needed"),
        ({"proxies": ["10.0.0.1"]}, "a token is needed"),
        ({"token": "short"}, "16 or more"),
        ({"token": "with spaces in the middle"}, "16 or more"),
        ({"token": "${TRACKLINE_NOT_SET}"}, "TRACKLINE_NOT_SET.*: not in the environment"),
        ({"host": "example.org"}, "host"),
        ({"names": ["http://x"]}, "host names"),
        ({"key": "a.pem"}, "want both"),
        ({"token": "a" * 16, "token_file": "x"}, "want one"),
    ],
)
def test_what_is_not_safe_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        validated(WebOptions, options, "web").read_token()
    assert "with spaces" not in str(raised.value), "a token is never shown"


def test_a_token_comes_from_the_environment_or_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKLINE_TOKEN", TOKEN)
    options = WebOptions.model_validate({"token": "${TRACKLINE_TOKEN}"})
    assert options.read_token() == TOKEN
    assert TOKEN not in repr(options) + options.model_dump_json()
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\nanother line\n")
    assert WebOptions(token_file=file).read_token() == TOKEN
    with pytest.raises(PipelineError, match="cannot be read"):
        WebOptions(token_file=tmp_path / "none").read_token()
