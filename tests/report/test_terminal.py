"""The table and the stories, as text."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from tests.report.written import write_run
from tests.rounds.small import tutor_run
from tests.teacher.asking import LEGS, ScriptedTeacher, request
from tutelage.recipes import read_recipe
from tutelage.records import Attempt, Correction, Mistake, Question
from tutelage.report.reading import Reading
from tutelage.report.terminal import Story, find_stories, rounds_table, story_panel, teacher_text
from tutelage.rounds import learn
from tutelage.teacher.books.entries import Begun, Charge, Ended
from tutelage.teacher.books.ledger import Ledger
from tutelage.teacher.books.prices import PICO
from tutelage.teacher.protocol import Call, Outcome, Sample, Usage, sample_keys
from tutelage.workspace import read_json


def shown(thing: RenderableType, width: int = 80) -> str:
    console = Console(width=width, color_system=None, emoji=False)
    with console.capture() as capture:
        console.print(thing, markup=False)
    return capture.get()


def test_the_table_has_the_numbers_of_the_files_in_80_columns(recipe: Path, tmp_path: Path) -> None:
    run = learn(read_recipe(recipe), tmp_path / "run")
    lines = shown(rounds_table(Reading(run.workspace.folder))).splitlines()
    rows = [line.split() for line in lines if line.split() and line.split()[0] in {"0", "1", "2"}]
    assert [row[0] for row in rows] == ["0", "1", "2"]
    for number, row in enumerate(rows):
        low, high = read_json(run.round(number).evaluation)["interval"]
        assert row[-3:] == [f"{low:.1%}", "-", f"{high:.1%}"]
        if number:
            summary = read_json(run.round(number).summary)
            assert row[2:6] == [
                str(summary["exam"]["mistakes"]),
                *(str(summary["feedback"][name]) for name in ("requests", "successes", "rationales")),
            ]
    assert all(len(line) <= 80 for line in lines)


def test_stories_are_of_questions_whose_mistake_was_corrected(recipe: Path, tmp_path: Path) -> None:
    run = learn(read_recipe(recipe), tmp_path / "run")
    stories = find_stories(run, 2)
    assert stories
    assert all(story.correction.question_id == story.question.id == story.mistake.question_id for story in stories)
    assert all(story.round == 2 and story.correction.mistake == story.mistake for story in stories)
    assert all(not story.correction.mistake for story in find_stories(run, 1))


def test_what_models_write_is_shown_as_it_is() -> None:
    question = Question("a", "Is [bold]x[/bold] a tag?", "Yes", "yes/no")
    mistake = Mistake("a", "[red]no[/red] :100:", None)
    correction = Correction("a", 2, "teacher", mistake, "[/] yes", "[/] yes", "Yes", "kept")
    answer = Attempt("a", 0, "[link=x]", "[link=x]", None, False, 3, True)
    text = shown(story_panel(Story(question, 2, mistake, correction, answer)))
    for words in ("[bold]x[/bold]", "[red]no[/red] :100:", "[/] yes", "[link=x]", "none that can be read"):
        assert words in text


def test_what_models_write_cannot_steer_a_terminal() -> None:
    steering = "\x1b]0;x\x07"
    mistake = Mistake("a", steering, steering)
    correction = Correction("a", 2, steering, mistake, steering, steering, steering, "kept")
    answer = Attempt("a", 0, steering, steering, steering, True, 3, True)
    text = shown(story_panel(Story(Question(steering, steering, "Yes", "yes/no"), 2, mistake, correction, answer)))
    assert "\\x1b]0;x\\x07" in text
    assert "\x1b" not in text


def test_of_a_damaged_run_the_table_has_what_there_is(tmp_path: Path) -> None:
    reading = Reading(write_run(tmp_path / "x\x1b[31m"))
    reading.round(1).evaluation.write_text("{")
    reading.round(2).summary.unlink()
    reading.workspace.recipe.unlink()
    text = shown(rounds_table(reading))
    rows = {cells[0]: cells[1:] for line in text.splitlines() if (cells := line.split())}
    assert rows["1"][-3:] == ["-", "-", "-"]
    assert rows["2"][:6] == ["-"] * 6
    assert rows["2"][-4] == "70.0%"
    assert [note.file for note in reading.notes] == ["round-1/evaluation.json"]
    assert "\x1b" not in text


def test_how_the_teachers_requests_fared_in_a_line(recipe: Path, tmp_path: Path) -> None:
    overrides = ["teacher.kind=openai", "teacher.model=m", "teacher.base_url=http://127.0.0.1:1/v1"]
    run = tutor_run(recipe, tmp_path, *overrides)
    assert teacher_text(run, 0) is None
    assert teacher_text(run, 1) is None
    calls: list[tuple[Outcome, int | None, Charge]] = [
        (Outcome({}, failure="rate limit"), None, Charge()),
        (Outcome({}, failure="timed out"), None, Charge(9, PICO // 8)),
        (
            Outcome({0: Sample("cut", "a", "length"), 1: Sample("text", "b")}, Usage(7, 3)),
            PICO // 4,
            Charge(10, PICO // 4),
        ),
    ]
    with Ledger(run.workspace.ledger) as ledger:
        one = request(LEGS)
        for outcome, cost, charge in calls:
            number = ledger.number()
            begun = Begun(number, ScriptedTeacher(), Call(one, (0, 1), 100, 50), "direct", Charge(150, PICO))
            ledger.write([begun, Ended(number, sample_keys(ScriptedTeacher(), one), outcome, cost, charge)])
    assert teacher_text(run, 1) == (
        "Teacher, round 1: 1 requests, 0 without a reply; 3 calls, of which failed: 1 rate limit, 1 timed out; "
        "1 replies cut off by the limit; paid 0.25, perhaps 0.12 more."
    )


@pytest.mark.parametrize(
    ("cost", "usage", "charge", "words"),
    [
        (3_000_000, Usage(7, 3), Charge(10, 3_000_000), "; paid 0.0000030."),
        (None, Usage(), Charge(150), "; paid unknown, perhaps 150 tokens more."),
    ],
)
def test_no_money_is_rounded_to_zero_or_left_out(
    recipe: Path, tmp_path: Path, cost: int | None, usage: Usage, charge: Charge, words: str
) -> None:
    overrides = ["teacher.kind=openai", "teacher.model=m", "teacher.base_url=http://127.0.0.1:1/v1"]
    run = tutor_run(recipe, tmp_path, *overrides)
    with Ledger(run.workspace.ledger) as ledger:
        one, number = request(LEGS), ledger.number()
        outcome = Outcome({0: Sample("text", "a"), 1: Sample("text", "b")}, usage)
        begun = Begun(number, ScriptedTeacher(), Call(one, (0, 1), 100, 50), "direct", charge)
        ledger.write([begun, Ended(number, sample_keys(ScriptedTeacher(), one), outcome, cost, charge)])
    said = teacher_text(run, 1)
    assert said is not None
    assert said.endswith(words)
