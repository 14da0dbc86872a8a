"""What a point of accuracy costs."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from tutelage.evaluation.cost import DeviceTime, TeacherCost, cost, device_times, teacher_cost, whole_time
from tutelage.evaluation.significance import mcnemar
from tutelage.teacher.books.accounts import Totals

NOTHING = Totals(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, {}, None, None, None, 0, None, 0, 0, Decimal(0))
TIME = DeviceTime({"study": 60.0}, 60.0, 0)


def paid(requests: int, tokens: int | None, money: str | None, unknown: int = 0) -> Totals:
    known = None if money is None else Decimal(money)
    return replace(
        NOTHING,
        requests=requests,
        from_network=requests,
        prompt_tokens=tokens,
        completion_tokens=tokens,
        cost=known,
        cost_unknown=unknown,
    )


def outcomes(right: int, total: int = 40) -> dict[str, bool]:
    return {str(place): place < right for place in range(total)}


def test_sums_are_exact_and_what_is_unknown_is_not_nothing() -> None:
    total = teacher_cost([paid(3, 10, "0.1"), paid(2, 5, "0.2", unknown=1), paid(1, None, None)])
    assert total == TeacherCost(6, 30, "0.3", 1, "0")
    assert teacher_cost([paid(1, None, None)]).money is None
    assert teacher_cost([]) == TeacherCost(0, 0, "0", 0, "0")
    assert teacher_cost([replace(NOTHING, requests=3, without_usage=3)]) == TeacherCost(3, None, "0", 0, "0")


def test_a_round_whose_teacher_is_on_this_machine_leaves_no_cost_unknown() -> None:
    recorded = replace(NOTHING, requests=3, without_usage=3)
    assert teacher_cost([recorded, paid(2, 5, "0.2")]) == TeacherCost(5, 10, "0.2", 0, "0")
    assert teacher_cost([recorded, paid(2, 5, "0.2", unknown=1)]).unknown == 1


def test_only_a_gain_beyond_chance_has_a_price() -> None:
    teacher = teacher_cost([paid(3, 500, "0.4")])
    found = cost(teacher, TIME, mcnemar(outcomes(0), outcomes(20)))  # 50 points
    assert found.supported
    assert (found.tokens_per_point, found.money_per_point, found.seconds_per_point) == pytest.approx((20, 0.008, 1.2))
    for before, after in ((0, 2), (20, 0), (5, 5)):
        none = cost(teacher, TIME, mcnemar(outcomes(before), outcomes(after)))
        assert (none.supported, none.tokens_per_point, none.money_per_point) == (False, None, None)
    unknown = teacher_cost([paid(1, None, None)])
    assert cost(unknown, TIME, mcnemar(outcomes(0), outcomes(20))).money_per_point is None
    assert cost(teacher, TIME, None).gained is None


def test_what_another_run_paid_is_not_free() -> None:
    cached = replace(NOTHING, requests=3, from_cache=6)
    gained = mcnemar(outcomes(0), outcomes(20))
    assert teacher_cost([cached]) == TeacherCost(3, None, None, 0, "0", from_cache=6)
    part = cost(teacher_cost([paid(3, 500, "0.4"), cached]), TIME, gained)
    assert (part.teacher.money, part.tokens_per_point, part.money_per_point) == ("0.4", None, None)
    assert part.seconds_per_point is not None


def test_seconds_are_those_of_all_processes_and_of_no_waiting() -> None:
    journal: list[dict[str, Any]] = [
        {"event": "begin", "round": 1, "stage": "feedback"},
        {"event": "end", "round": 1, "stage": "feedback", "seconds": 100.0},
        {"event": "begin", "round": 1, "stage": "study"},  # killed
        {"event": "begin", "round": 1, "stage": "study"},
        {"event": "end", "round": 1, "stage": "study", "seconds": 7.5},
        {"event": "something else"},
        {"event": "end", "round": 2, "stage": "exam", "seconds": 3.0, "taken_from": "another run"},
        {"event": "begin", "round": 2, "stage": "study"},
        {"event": "begin", "round": 0, "stage": "evaluation"},
        {"event": "end", "round": 0, "stage": "evaluation", "seconds": 1.0},
    ]
    times = device_times(journal, lambda number: ("feedback",) if number == 1 else (), devices=2)
    assert list(times) == [0, 1, 2]
    assert times[2] == DeviceTime({"exam": 3.0}, 6.0, 1)
    assert times[1] == DeviceTime({"feedback": 100.0, "study": 7.5}, 15.0, 1)
    stages = {"evaluation": 1.0, "feedback": 100.0, "study": 7.5, "exam": 3.0}
    assert whole_time(times.values()) == DeviceTime(stages, 23.0, 2)
