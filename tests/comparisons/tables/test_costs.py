"""What a point of accuracy is said to cost, run by run."""

from __future__ import annotations

from pathlib import Path

from tutelage.comparisons.results import RunResult, TeacherUse
from tutelage.comparisons.tables.costs import cost_table
from tutelage.evaluation.cost import DeviceTime, TeacherCost, cost
from tutelage.evaluation.significance import mcnemar
from tutelage.rounds.costs import RunCost


def run(gained: int) -> tuple[RunResult, RunCost]:
    """A run for 900 tokens and 60 seconds whose student has so many of 40 questions right that it had wrong before."""
    result = RunResult("a", "", 1, "cot", Path(), 1, None, "", (), 9, 9, TeacherUse(), 1.0, ())
    pair = mcnemar({str(one): False for one in range(40)}, {str(one): one < gained for one in range(40)})
    whole = cost(TeacherCost(3, 900, "0.9", 0, "0"), DeviceTime({}, 60.0, 0), pair)
    return result, RunCost("cpu", 1, {}, whole)


def test_a_point_has_a_price_only_if_all_tests_together_find_a_gain() -> None:
    [alone] = cost_table("One", [run(6)]).rows  # p = 0.03
    assert [cell.value for cell in alone[4:7]] == [900, 0.9, 60.0]
    assert (alone[7].mark, [cell.value for cell in alone[8:]]) == ("", [900 / 15, 0.9 / 15, 60 / 15])
    several = cost_table("Three", [run(6), run(5), run(20)]).rows
    assert [line[7].mark for line in several] == ["n.s.", "n.s.", ""]
    assert [line[8].value for line in several] == [None, None, 900 / 50]
    [lost] = cost_table("Lost", [run(0)]).rows
    assert (lost[7].mark, lost[10].value) == ("n.s.", None)
