"""The student's own right attempts in a lesson."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.rounds.finished import attempt, begun_run, write_exam
from tests.rounds.small import tutor_run
from tutelage.config import Recipe
from tutelage.recipes import read_recipe
from tutelage.records import Attempt, Correction, Question
from tutelage.rounds import Run
from tutelage.rounds.lesson import lesson
from tutelage.rounds.own_rationales import own_rationales
from tutelage.workspace import write_records

PENS, CATS = (Question(name, f"How many {name}?", "5", "number") for name in ("pens", "cats"))


def corrected(question: Question, rationale: str) -> Correction:
    return Correction(question.id, 1, "teacher", None, rationale, rationale, question.answer, "kept")


def picked(recipe: Recipe, *exams: list[Attempt], said: tuple[Correction, ...] = ()) -> list[tuple[str, str]]:
    found = own_rationales(exams, said, {one.id: one for one in (PENS, CATS)}, recipe)
    return [(one.question_id, one.rationale) for one in found]


def test_the_first_right_attempts_with_words_of_their_own_are_picked(recipe: Path) -> None:
    exam = [
        attempt(PENS, False, 0, "2 + 2 = 5."),
        attempt(PENS, True, 1, "2 + 3 = 5."),
        attempt(PENS, True, 2, "2 +  3 = 5"),  # the same words
        attempt(PENS, True, 3, "3 + 2 = 5."),  # the teacher's
        attempt(PENS, True, 4, "1 + 4 = 5."),
        attempt(PENS, True, 5, "4 + 1 = 5."),  # a third one
        attempt(CATS, True, 0, "3 + 2 = 5."),  # the teacher's of another question
    ]
    two = read_recipe(recipe, ["exam.own_rationales=2"])
    own = [("pens", "2 + 3 = 5."), ("pens", "1 + 4 = 5."), ("cats", "3 + 2 = 5.")]
    assert picked(two, exam, said=(corrected(PENS, "3 + 2 = 5!"),)) == own
    # A later exam adds what is new, and as much of it again.
    later = [attempt(PENS, True, 0, "2 + 3 = 5."), attempt(PENS, True, 1, "0 + 5 = 5.")]
    assert picked(two, exam, later, said=(corrected(PENS, "3 + 2 = 5!"),)) == [*own, ("pens", "0 + 5 = 5.")]


def test_own_rationales_are_held_to_the_teachers_rules(recipe: Path) -> None:
    exam = [
        replace(attempt(PENS, True, 0), rationale=""),
        attempt(PENS, True, 1, "The hint says 5."),
        replace(attempt(PENS, True, 2, "So and so, it is 5."), tokens=41),  # longer than an evaluation lets it
        attempt(PENS, True, 3, "2 + 2 = 5."),
        attempt(PENS, True, 4, "2 + 3 = 5."),
    ]
    lenient, strict = (
        picked(read_recipe(recipe, ["exam.own_rationales=9", f"teacher.drop_wrong_steps={drop}"]), exam)
        for drop in ("false", "true")
    )
    assert lenient == [("pens", "2 + 2 = 5."), ("pens", "2 + 3 = 5.")]
    assert strict == [("pens", "2 + 3 = 5.")]
    strict = picked(read_recipe(recipe, ["exam.own_rationales=9", "teacher.drop_unfounded=true"]), exam)
    assert strict == []  # the question has neither a 2 nor a 3


def own_run(recipe: Path, folder: Path, *overrides: str) -> Run:
    """Two exams by hand: of the first 4 questions every second attempt is right, of the others all are."""
    run = begun_run(recipe, folder, 1, "exam.own_rationales=1", *overrides)
    for number in (1, 2):
        write_exam(run, number, lambda place, sample: place >= 4 or sample == 1)
    return run


def test_a_lesson_has_them_beside_the_teachers(recipe: Path, tmp_path: Path) -> None:
    run = own_run(recipe, tmp_path)
    studied = lesson(run, 1)
    questions = run.questions["train"]
    asked = {one.id for one in questions[:4]}
    of_asked = [triplet for triplet in studied if triplet.question_id in asked]
    assert [triplet.own for triplet in of_asked] == [False, True] * 4
    for teachers, own in zip(of_asked[::2], of_asked[1::2], strict=True):
        assert (teachers.positive, own.positive) == (own.anchor, teachers.anchor)
        assert own.negative == teachers.negative is not None
    # The teacher was not asked about the others, of which every attempt was right.
    others = [triplet for triplet in studied if triplet.question_id not in asked]
    assert [(one.question_id, one.own, one.positive, one.negative) for one in others] == [
        (question.id, True, None, None) for question in questions[4:]
    ]


def test_a_lesson_of_all_rounds_has_each_once(recipe: Path, tmp_path: Path) -> None:
    run = own_run(recipe, tmp_path, "rounds.data=all rounds")
    first = [triplet for triplet in lesson(run, 1) if triplet.own]
    both = [triplet for triplet in lesson(run, 2) if triplet.own]
    # In the second exam the first right attempt has the same words, and of the easy questions one more has others.
    assert [triplet for triplet in both if triplet in first] == [one for one in first if one in both]
    assert len({(one.question_id, one.anchor) for one in both}) == len(both) == len(first) + 26


def test_a_student_may_teach_itself_where_its_teacher_brings_nothing(recipe: Path, tmp_path: Path) -> None:
    run = own_run(recipe, tmp_path)
    write_records(run.round(1).feedback, [])
    assert len(lesson(run, 1)) == len(run.questions["train"])
    bare = tutor_run(recipe, tmp_path / "bare")
    write_exam(bare, 1, lambda _place, _sample: True)
    assert lesson(bare, 1) == []  # unless the recipe says so, nothing of it is studied
