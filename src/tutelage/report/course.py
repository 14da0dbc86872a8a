"""A question's course in the terminal: its attempts round by round, what the teacher wrote, and the next answers.

It is told from the same story as the page's. What models wrote is shown as plain text, never as markup.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.text import Text

from tutelage.errors import RecipeError
from tutelage.progress import plain
from tutelage.prompts import question_text
from tutelage.report.gathering.courses import Course, read_courses
from tutelage.report.gathering.prompts import NONE
from tutelage.report.gathering.stories import VERDICTS, tell
from tutelage.report.reading import Reading

MOST_NAMED = 10
"""Ids that are named where a text fits several questions."""


def find_course(reading: Reading, wanted: str) -> Course:
    """The question with this id, or else the one in whose id or text it stands, whatever the case.

    Raises: RecipeError if it stands in none or in several, with their ids.
    """
    courses = read_courses(reading).courses
    for course in courses:
        if course.question.id == wanted:
            return course
    part = wanted.casefold()
    fitting = [one for one in courses if part in one.question.id.casefold() or part in one.question.text.casefold()]
    if len(fitting) == 1:
        return fitting[0]
    if not courses:
        raise RecipeError(f"There is no question that can be read in {reading.workspace.questions}.")
    named = ", ".join(one.question.id for one in (fitting or courses)[:MOST_NAMED])
    if fitting:
        raise RecipeError(f"{wanted!r} fits {len(fitting)} questions, such as {named}. Give an id, or more words.")
    raise RecipeError(f"{wanted!r} fits no id and no text of the {len(courses)} questions, such as {named}.")


def course_panel(course: Course, only: int | None = None) -> RenderableType:
    """All that became of a question; only: of one round, from its exam to the next answers.

    Raises: RecipeError if there is nothing of that round.
    """
    parts = list(_parts(course, tell(course, NONE), only))
    if not parts:
        raise RecipeError(f"There is nothing about {course.question.id} in round {only} yet. Leave out --round.")
    question = Text(plain(question_text(course.question.text, course.question.choices)))
    question.append(f"\nRight answer: {plain(course.question.answer)}", style="bold")
    split = "training" if course.split == "train" else course.split
    return Panel(
        Group(question, *parts), title=Text(f"{plain(course.question.id)}, {split} question"), title_align="left"
    )


def _parts(course: Course, story: Mapping[str, Any], only: int | None) -> Iterator[RenderableType]:
    answers = {int(student): found for student, found in story["answers"].items()}
    rounds = {int(number): found for number, found in story["rounds"].items()}
    for number in range(max([*answers, *rounds], default=-1) + 1):
        if number in rounds and only in (None, number):
            yield from _taught(number, rounds[number])
        if number in answers and (only is None or number in (only - 1, only)):
            yield from _answered(course, number, answers[number])


def _answered(course: Course, student: int, answers: Sequence[Mapping[str, Any]]) -> Iterator[RenderableType]:
    right, tried = (sum(one["times"] for one in answers if one["right"] >= least) for least in (True, False))
    which = "the untrained student" if student == 0 else f"the student of round {student}"
    what = f"Exam of round {student + 1}, {which}" if course.split == "train" else f"Evaluation of {which}"
    yield _heading(f"{what}: {right} of {tried} right", "green" if right else "red")
    for one in answers:
        yield Padding(_attempt(one), (0, 0, 0, 2))


def _attempt(one: Mapping[str, Any]) -> Text:
    colour = "green" if one["right"] else "red"
    text = Text("right" if one["right"] else "wrong", style=colour)
    text.append(f", {one['times']} times: " if one["times"] > 1 else ": ")
    before, step, after = one.get("wrong", (one["text"], "", ""))
    text.append(plain(before) or ("" if step else "(nothing)"), style="default")
    text.append(plain(step), style="bold underline").append(plain(after), style="default")
    if one["answer"] is not None:
        text.append(f"\nAnswer: {plain(one['answer'])}", style=colour)
    else:
        text.append("\nNo answer can be read" + ("" if one["finished"] else "; the limit cut it off"), style=colour)
    if step:
        text.append(f'\nFirst wrong step: "{plain(step)}", which comes to {one["value"]}', style="bold")
    elif one.get("holds") and not one["right"]:
        text.append("\nIts arithmetic holds; it goes wrong elsewhere", style="dim")
    return text


def _taught(number: int, taught: Mapping[str, Any]) -> Iterator[RenderableType]:
    if taught["asked"]:
        shown = taught["shown"]
        what = "shown no attempt" if shown is None else "shown this attempt"
        yield _heading(f"Teacher, round {number}, {what}", "blue")
        if shown is not None:
            answer = "none that can be read" if shown["answer"] is None else plain(shown["answer"])
            yield Padding(Text(f"{plain(shown['text']) or '(nothing)'}\nAnswer: {answer}", style="red"), (0, 0, 1, 2))
        for reply in taught["replies"]:
            text = Text(f"{reply['verdict']}: ", style="green" if reply["verdict"] == "kept" else "yellow")
            text.append(plain(reply["text"]), style="default")
            text.append(f"\n{VERDICTS[reply['verdict']]}", style="dim")
            yield Padding(text, (0, 0, 0, 2))
    else:
        yield _heading(f"Teacher, round {number}: not asked", "blue")
    samples, positives, negatives = (
        sum(one[role] for one in taught["lesson"]) for role in ("anchor", "positive", "negative")
    )
    special = {"own": "of its own", "asked": "with other numbers"}
    counted = {words: sum(one["anchor"] for one in taught["lesson"] if one.get(key)) for key, words in special.items()}
    among = ", ".join(f"{number} {words}" for words, number in counted.items() if number)
    words = f"{samples} samples{f' ({among})' if among else ''}, {positives} with another right rationale, "
    words += f"{negatives} with a mistake"
    yield _heading(f"Lesson of round {number}: {words if samples else 'nothing about this question'}", "blue")


def _heading(words: str, colour: str) -> Text:
    return Text(f"\n{words}", style=f"bold {colour}")
