"""Log lines go to standard error as it is when they are written."""

from __future__ import annotations

import io
import json
import sys

import pytest
import structlog

from ringup.engine.logs import set_up


def test_a_stream_that_was_replaced_and_closed_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = structlog.get_logger()
    for text in ("first", "second"):
        stream = io.StringIO()
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stderr", stream)
            set_up(format="json")
            log.info(text)
            assert json.loads(stream.getvalue())["event"] == text
            stream.close()
    log.info("third")
    assert json.loads(capsys.readouterr().err)["event"] == "third"
