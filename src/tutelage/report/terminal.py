"""What people look at in the terminal: the table after each round, and questions told as stories."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tutelage.config import OpenAITeacherSettings
from tutelage.progress import plain
from tutelage.prompts import question_text
from tutelage.records import Attempt, Correction, Mistake, Question
from tutelage.report.gathering.overview import evaluations
from tutelage.report.reading import Reading
from tutelage.report.shapes import Evaluation, Summary
from tutelage.report.teacher import NOTHING, maybe_text, paid_text
from tutelage.rounds.cases import ask_again, last_corrected
from tutelage.rounds.run import Run
from tutelage.teacher.books.accounts import totals
from tutelage.teacher.books.ledger import Ledger
from tutelage.workspace import read_json


def rounds_table(reading: Reading) -> Table:
    """All rounds that have been evaluated, one line each, 80 columns wide; the numbers are those of the JSON files.

    Round 0 is the untrained student. Accuracies are those of evaluation.json, with the 95 % interval on the test. What
    cannot be read is "-", and noted in `reading`.
    """
    named = plain(f"{reading.setting('task.name') or 'run'}, {reading.folder}")
    table = Table(title=Text(named, "bold"), title_justify="left", box=box.SIMPLE_HEAD, padding=0, pad_edge=False)
    for heading in ("round", "exam\nwrong", "mis-\ntakes", "re-\nquests", "suc-\ncesses", "ratio-\nnales", "tokens"):
        table.add_column(heading, justify="right")
    for heading in ("held\nout", "test", "95 %\ninterval"):
        table.add_column(heading, justify="right", no_wrap=True)
    scores = evaluations(reading)
    for number in range(max(scores, default=-1) + 1):
        summary = reading.value(reading.round(number).summary, Summary) if number else None
        table.add_row(str(number), *_summary_cells(summary or {}), *_score_cells(scores.get(number)))
    return table


def _summary_cells(summary: Summary) -> list[str]:
    exam, feedback = summary.get("exam", {}), summary.get("feedback", {})
    tokens = [
        count for count in (feedback.get("prompt_tokens"), feedback.get("completion_tokens")) if count is not None
    ]
    wrong = exam.get("error_rate")
    counts = (exam.get("mistakes"), *(feedback.get(name) for name in ("requests", "successes", "rationales")))
    return [
        "-" if wrong is None else f"{wrong:.1%}",
        *("-" if count is None else f"{count:,}" for count in counts),
        f"{sum(tokens):,}" if tokens else "-",
    ]


def _score_cells(score: Evaluation | None) -> list[str]:
    if score is None:
        return ["-", "-", "-"]
    low, high = score["interval"]
    held_out = score.get("held_out", {}).get("accuracy")
    return ["-" if held_out is None else f"{held_out:.1%}", f"{score['accuracy']:.1%}", f"{low:.1%} - {high:.1%}"]


def teacher_text(run: Run, number: int) -> str | None:
    """How a round's requests to a teacher behind a network fared, in a line; None for another teacher or round 0."""
    if number == 0 or not isinstance(run.recipe.teacher, OpenAITeacherSettings):
        return None
    with Ledger(run.workspace.ledger) as ledger:
        used = totals(ledger).get(number)
    if used is None:
        return None
    failed = ", ".join(f"{count:,} {kind}" for kind, count in used.failures.items())
    odd = [(used.cut, "cut off by the limit"), (used.refused, "refused"), (used.empty, "empty")]
    paid, maybe = paid_text([used]), maybe_text([used])
    parts = [
        f"Teacher, round {number}: {used.requests:,} requests, {used.set_aside:,} without a reply",
        f"{used.calls:,} calls" + (f", of which failed: {failed}" if failed else ""),
        *(f"{count:,} replies {what}" for count, what in odd if count),
        f"paid {'nothing' if paid == NOTHING else paid}" + ("" if maybe == NOTHING else f", perhaps {maybe} more"),
    ]
    return "; ".join(parts) + "."


def score_text(score: dict[str, Any]) -> str:
    """A score as "12.5 % of 80 (6.9 - 21.5)"."""
    low, high = score["interval"]
    return f"{score['accuracy']:.1%} of {score['total']} ({low:.1%} - {high:.1%})"


def outcome_text(run: Run) -> str:
    """How a finished run ended, in two lines."""
    outcome = read_json(run.workspace.outcome)
    which = "the untrained student" if outcome["best_round"] == 0 else f"round {outcome['best_round']}"
    return (
        f"Ended after round {outcome['last_round']} ({outcome['reason']}). Kept: {which}, "
        f"test accuracy {score_text(outcome['test'])}.\n"
        f'The student is in {run.workspace.student}; ask it by `tutelage ask {run.workspace.folder} "..."`.'
    )


@dataclass(frozen=True, slots=True)
class Story:
    """One question on its way: the student's mistake, what the teacher wrote, and the student's next answer."""

    question: Question
    round: int
    mistake: Mistake
    correction: Correction
    answer: Attempt


def find_stories(run: Run, last: int, candidates: int = 12) -> list[Story]:
    """Training questions with a mistake and a correction, asked once more, greedily, of the student that studied
    the correction; of the last round in which the teacher was shown mistakes, else of round 1.

    The first `candidates` of the file; those that are right now come first.
    """
    number, corrected = last_corrected(run, last)
    if not corrected:
        return []
    questions = {question.id: question for question in run.questions["train"]}
    asked = [questions[correction.question_id] for _, correction in corrected[:candidates]]
    stories = [
        Story(question, number, mistake, correction, answer)
        for question, (mistake, correction), answer in zip(
            asked, corrected, ask_again(run, number, asked), strict=False
        )
    ]
    return sorted(stories, key=lambda story: not story.answer.correct)


def story_panel(story: Story) -> RenderableType:
    """A story as a panel. What models wrote is shown as plain text, never as markup or as what steers a terminal."""
    right = story.answer.correct
    seen = "" if story.correction.mistake is not None else ", not shown the attempt"
    parts = [
        Text(plain(question_text(story.question.text, story.question.choices))),
        _part("Exam, round " + str(story.round), story.mistake.rationale, story.mistake.answer, "red"),
        _part(story.correction.teacher + seen, story.correction.rationale, story.correction.answer, "blue"),
        _part(
            "Next answer" + ("" if right else ", still wrong"),
            story.answer.rationale,
            story.answer.answer,
            "green" if right else "red",
        ),
    ]
    return Panel(Group(*parts), title=Text(plain(story.question.id)), title_align="left")


def _part(title: str, rationale: str, answer: str | None, colour: str) -> Text:
    text = Text("\n")
    text.append(f"{plain(title)}: ", style=f"bold {colour}")
    text.append(plain(rationale) or "(nothing)")
    return text.append(f"\nAnswer: {'none that can be read' if answer is None else plain(answer)}", style=colour)
