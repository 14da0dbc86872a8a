"""Case studies as people read them."""

from __future__ import annotations

from tutelage.evaluation.cases import Case, case_study, cases_markdown
from tutelage.evaluation.picking import RULE
from tutelage.records import Attempt, Correction, Mistake, Question


def case(name: str, right: bool, said: str = "So.", shown: bool = True) -> Case:
    before = tuple(
        Attempt(name, sample, f"{said} {sample}", f"{said} {sample}", "3", False, 2, True) for sample in (0, 1)
    )
    mistake = Mistake(name, before[1].rationale, "3") if shown else None
    correction = Correction(name, 2, said, mistake, said, said, "4", "kept")
    return Case(
        Question(name, said, "4", "number"), before, correction, Attempt(name, 0, said, said, None, right, 1, True)
    )


def test_the_rule_counts_all_that_turned_and_shows_the_same_few() -> None:
    cases = [case(f"own/{place}", right=place % 2 == 0) for place in range(20)]
    study = case_study("Turned right", "questions", cases, lambda one: one.after.correct, 3)
    assert (study.looked_at, study.turned, len(study.cases)) == (20, 10, 3)
    assert RULE in study.rule
    again = case_study("Turned right", "questions", cases[::-1], lambda one: one.after.correct, 3)
    assert again.cases == study.cases
    assert study.cases != tuple(one for one in cases if one.after.correct)[:3]


def test_the_attempt_that_the_teacher_saw_is_the_one_that_is_told() -> None:
    text = cases_markdown([case_study("T", "all", [case("a", True)], lambda _case: True, 1)])
    assert "So. 1" in text
    assert "So. 0" not in text
    assert "not shown the attempt" not in text
    assert "Answer: none that can be read" in text
    unseen = cases_markdown([case_study("T", "all", [case("a", True, shown=False)], lambda _case: True, 1)])
    assert "So. 0" in unseen
    assert "not shown the attempt" in unseen


def test_what_models_write_cannot_leave_its_fence() -> None:
    said = "```\n# A heading\n<script>x</script> ````` [a](b)\x1b[31m"
    text = cases_markdown([case_study("T", "all", [case("a|*b*<i>", True, said)], lambda _case: True, 1)])
    fence = "`" * 6
    outside, inside = [], False
    for line in text.splitlines():
        if line in (fence, f"{fence}text"):
            assert (line == fence) == inside
            inside = not inside
        elif not inside:
            outside.append(line)
    assert not inside
    assert not any("# A heading" in line and not line.startswith("The teacher") for line in outside)
    assert "<script>" not in "\n".join(outside)
    assert "### a\\|\\*b\\*\\<i\\>" in outside
    assert "\x1b" not in text
    assert "\\x1b" in text
