"""What is said on the terminal."""

from __future__ import annotations

import pytest

from tutelage.progress import say


def test_what_is_said_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    say("HTTP 400: \x1b]0;mine\x07 [red]told[/red]")
    assert capsys.readouterr().err == "HTTP 400: \\x1b]0;mine\\x07 [red]told[/red]\n"
