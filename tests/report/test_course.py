"""`tutelage show`: a question's story in the terminal, and what a run has cost, of hand-written files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from tests.teacher.asking import LEGS, ScriptedTeacher, request
from tutelage.errors import RecipeError
from tutelage.records import Attempt, Correction, Mistake, Question, StoredQuestion, Triplet, Variant
from tutelage.report.course import course_panel, find_course
from tutelage.report.gathering.prompts import NONE
from tutelage.report.gathering.stories import tell
from tutelage.report.reading import Reading
from tutelage.report.standing import cost_text, teacher_text
from tutelage.teacher.books.entries import Begun, Charge, Ended
from tutelage.teacher.books.ledger import Ledger
from tutelage.teacher.books.prices import PICO
from tutelage.teacher.protocol import Call, Outcome, Sample, Usage, sample_keys
from tutelage.workspace import write_json, write_records

PENS = Question("own/1", "Ann has 3 pens and gets 4. How many?", "7", "number")
TEST = Question("own/12", "Bo has 2 pens [bold]now[/bold].", "2", "number")


def tried(question: Question, rationale: str, answer: str | None) -> Attempt:
    text = f"{rationale}\nAnswer: {answer}" if answer else rationale
    return Attempt(question.id, 0, text, rationale, answer, answer == question.answer, 9, answer is not None)


@pytest.fixture
def reading(tmp_path: Path) -> Reading:
    """Two rounds: wrong twice, then half right; the teacher is shown the mistake in round 2."""
    write_records(tmp_path / "questions.jsonl", [StoredQuestion("train", PENS), StoredQuestion("test", TEST)])
    wrong = tried(PENS, "3 + 4 = 8.", "8")
    first, second = tmp_path / "round-1", tmp_path / "round-2"
    write_records(first / "exam.jsonl", [wrong, wrong])
    kept = Correction("own/1", 1, "t", None, "3 + 4 = 7. Answer: 7", "3 + 4 = 7.", "7", "kept")
    write_records(first / "feedback.jsonl", [kept])
    mistake = Mistake("own/1", "3 + 4 = 8.", "8")
    write_records(first / "lesson.jsonl", [Triplet("own/1", "3 + 4 = 7.", None, mistake)])
    write_records(second / "exam.jsonl", [tried(PENS, "\x1b[31mIt is so", None), tried(PENS, "3 + 4 = 7.", "7")])
    dropped = Correction(
        "own/1", 2, "t", Mistake("own/1", "It is so", None), "Eight. Answer: 8", "Eight.", "8", "wrong answer"
    )
    write_records(second / "feedback.jsonl", [dropped])
    write_records(second / "evaluation.jsonl", [tried(TEST, "[red]2[/red]", "2")])
    return Reading(tmp_path)


def shown(reading: Reading, wanted: str, only: int | None = None) -> str:
    console = Console(width=100, color_system=None, emoji=False)
    with console.capture() as capture:
        console.print(course_panel(find_course(reading, wanted), only), markup=False)
    return "\n".join(line.strip("│ ") for line in capture.get().splitlines())


def test_a_question_is_told_from_its_first_exam_to_its_last_answer(reading: Reading) -> None:
    told = shown(reading, "own/1")
    course = [
        *("training question", "Ann has 3 pens", "Right answer: 7"),
        *("Exam of round 1, the untrained student: 0 of 2 right", "wrong, 2 times: 3 + 4 = 8.", "Answer: 8"),
        *('First wrong step: "3 + 4 = 8", which comes to 7', "Teacher, round 1, shown no attempt"),
        *(
            "kept: 3 + 4 = 7. Answer: 7",
            "Right, and studied.",
            "Lesson of round 1: 1 samples, 0 with",
            "1 with a mistake",
        ),
        *("Exam of round 2, the student of round 1: 1 of 2 right", "\\x1b[31mIt is so", "No answer can be read"),
        *("right: 3 + 4 = 7.", "Teacher, round 2, shown this attempt", "It is so", "Answer: none that can be read"),
        *(
            "wrong answer: Eight.",
            "its answer is not the gold answer",
            "Lesson of round 2: nothing about this question",
        ),
    ]
    place = 0
    for words in course:
        assert words in told[place:]
        place = told.index(words, place) + 1
    assert "\x1b" not in told


def test_what_the_student_wrote_of_its_lesson_is_said_to_be_its_own(reading: Reading) -> None:
    lesson = [
        Triplet("own/1", "3 + 4 = 7.", "4 + 3 = 7.", None),
        Triplet("own/1", "4 + 3 = 7.", "3 + 4 = 7.", None, True),
    ]
    write_records(reading.round(1).lesson, lesson)
    assert "Lesson of round 1: 2 samples (1 of its own), 2 with another right" in shown(reading, "own/1")
    [teachers, own] = tell(find_course(reading, "own/1"), NONE)["rounds"]["1"]["lesson"]
    assert (teachers["text"], teachers["positive"], "own" in teachers) == ("3 + 4 = 7.", 1, False)
    assert (own["text"], own["positive"], own["own"]) == ("4 + 3 = 7.", 1, True)


def test_what_it_studied_with_other_numbers_is_told_with_its_question(reading: Reading) -> None:
    asked = Variant("Ann has 5 pens and gets 9. How many?", "14")
    lesson = [
        Triplet("own/1", "3 + 4 = 7.", None, None, True),
        Triplet("own/1", "5 + 9 = 14.", None, None, True, asked),
    ]
    write_records(reading.round(1).lesson, lesson)
    assert "Lesson of round 1: 2 samples (1 of its own, 1 with other numbers), 0 with" in shown(reading, "own/1")
    [own, variant] = tell(find_course(reading, "own/1"), NONE)["rounds"]["1"]["lesson"]
    assert (own["own"], "asked" in own) == (True, False)
    assert (variant["text"], variant["asked"], "own" in variant) == ("5 + 9 = 14.", asked.text, False)


def test_one_round_of_it(reading: Reading) -> None:
    told = shown(reading, "own/1", only=2)
    assert "Exam of round 2" in told
    assert "round 1," not in told.replace("the student of round 1", "")
    with pytest.raises(RecipeError, match=r"nothing about own/1 in round 7.*--round"):
        shown(reading, "own/1", only=7)


def test_what_models_and_data_write_is_shown_as_it_is(reading: Reading) -> None:
    told = shown(reading, "bo HAS")
    for words in (
        "own/12, test question",
        "[bold]now[/bold]",
        "[red]2[/red]",
        "Evaluation of the student of round 2: 1 of 1",
    ):
        assert words in told


def test_a_question_is_found_by_its_id_or_a_part_that_fits_it_alone(reading: Reading) -> None:
    assert find_course(reading, "own/1").question is not None  # though it stands in own/12, too
    assert find_course(reading, "/12").question.id == "own/12"
    with pytest.raises(RecipeError, match="'pens' fits 2 questions, such as own/1, own/12"):
        find_course(reading, "pens")
    with pytest.raises(RecipeError, match="'zebra' fits no id and no text of the 2 questions"):
        find_course(reading, "zebra")


def test_what_it_has_cost_and_what_nobody_knows(tmp_path: Path) -> None:
    reading = Reading(tmp_path)
    assert cost_text(reading) == "Cost: no time that is noted; the teacher has not been asked."
    line = {"time": "", "event": "end", "round": 1, "stage": "exam", "seconds": 75.0}
    (tmp_path / "journal.jsonl").write_text(json.dumps(line) + "\n")
    with Ledger(tmp_path / "teacher.sqlite") as ledger:
        one = request(LEGS)
        for usage, cost in ((Usage(700, 3), PICO // 4), (Usage(), None)):
            number = ledger.number()
            call = Call(one, (0, 1), 100, 50)
            outcome = Outcome({0: Sample("text", "a"), 1: Sample("text", "b")}, usage)
            keys = [f"{key}{number}" for key in sample_keys(ScriptedTeacher(), one)]
            charge = Charge(703 if cost else 0, cost or 0)
            ledger.write(
                [Begun(number, ScriptedTeacher(), call, "direct", charge), Ended(number, keys, outcome, cost, charge)]
            )
    assert cost_text(Reading(tmp_path)) == (
        "Cost: 1 min 15 s of work; 1 requests to the teacher, 703 tokens, paid 0.25, "
        "without the unknown cost of 1 calls."
    )
    assert teacher_text(reading) is None
    write_json(
        tmp_path / "teacher.json", {"accuracy": 0.5, "correct": 1, "total": 2, "interval": [0.1, 0.9], "teacher": "m"}
    )
    assert teacher_text(Reading(tmp_path)) == "The teacher itself, m: test 50.0% of 2 (10.0% - 90.0%)."
