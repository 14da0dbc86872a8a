"""What is said on the terminal."""

from __future__ import annotations

import pytest

from tutelage.progress import duration, say


def test_what_is_said_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    say("HTTP 400: \x1b]0;mine\x07 [red]told[/red]")
    assert capsys.readouterr().err == "HTTP 400: \\x1b]0;mine\\x07 [red]told[/red]\n"


def test_durations() -> None:
    assert [duration(one) for one in (0.4, 59.4, 60, 3599, 3600, 90_000)] == [
        *("0 s", "59 s", "1 min 0 s", "59 min 59 s", "1 h 0 min", "25 h 0 min"),
    ]
