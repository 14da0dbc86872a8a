"""When a study saves, where the recipe leaves it to the clock. What it saves: test_loop.py and tests/student/ranks."""

from __future__ import annotations

import pytest

from tutelage import distributed
from tutelage.student.training.checkpoint import APART_SECONDS, SHARE, Rhythm


class Clock:
    """Stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def saved_steps(steps: int, step_seconds: float, saving_seconds: float) -> tuple[list[int], float]:
    """After which steps a study saved, and what share of its time that took."""
    clock = Clock()
    rhythm, saved = Rhythm(None, clock), []
    for step in range(1, steps + 1):
        clock.now += step_seconds
        if rhythm.is_due(step):
            saved.append(step)
            with rhythm.saving():
                clock.now += saving_seconds
    return saved, len(saved) * saving_seconds / (clock.now - 1000.0)


def test_a_number_of_steps_is_kept_to() -> None:
    rhythm = Rhythm(3, Clock())
    assert [step for step in range(1, 10) if rhythm.is_due(step)] == [3, 6, 9]


def test_quick_steps_save_once_a_minute_and_slow_ones_after_each() -> None:
    quick, _ = saved_steps(4800, 0.0625, 0.125)
    assert quick == [960, 1920, 2880, 3840, 4800]
    slow, _ = saved_steps(5, 2 * APART_SECONDS, 1.0)
    assert slow == [1, 2, 3, 4, 5]


def test_saving_that_takes_long_is_rarer_and_takes_no_larger_share() -> None:
    saved, share = saved_steps(4000, 1.0, 30.0)
    assert saved == [60, 660, 1260, 1860, 2460, 3060, 3660]
    assert share <= SHARE


def test_several_ranks_look_at_the_leader_s_clock_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def broadcast(value: bool) -> bool:
        asked.append(value)
        return True  # what the leader's clock says

    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    monkeypatch.setattr(distributed, "broadcast", broadcast)
    rhythm = Rhythm(None, Clock())
    assert [step for step in range(1, 31) if rhythm.is_due(step)] == [10, 20, 30]
    assert asked == [False, False, False]
