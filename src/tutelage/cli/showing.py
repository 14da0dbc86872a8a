"""`tutelage show`: a run in the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tutelage.cli.common import RunArgument, show
from tutelage.errors import RecipeError

if TYPE_CHECKING:
    from tutelage.report.reading import Reading


def show_run(
    run: RunArgument,
    question: Annotated[
        str | None, typer.Argument(metavar="[QUESTION]", help="A question's id, or a part of its id or text.")
    ] = None,
    number: Annotated[
        int | None, typer.Option("--round", min=1, metavar="N", help="With a question: that round alone.")
    ] = None,
) -> None:
    """How a run has fared so far, round by round; or the whole story of one question."""
    from tutelage.report.reading import Reading
    from tutelage.report.write import check_run

    check_run(run)
    if question is None:
        if number is not None:
            raise RecipeError("--round goes with a question: name one, or leave it out for the table of all rounds.")
        _show_rounds(run)
        return
    from tutelage.report.course import course_panel, find_course

    reading = Reading(run)
    course = find_course(reading, question)
    show(course_panel(course, number))
    _show_notes(reading)


def _show_rounds(folder: Path) -> None:
    from tutelage.report.reading import Reading
    from tutelage.report.standing import cost_text, standing_text, teacher_text
    from tutelage.report.terminal import rounds_table

    reading = Reading(folder)
    table = rounds_table(reading)
    if table.row_count:
        show(table)
    if (line := teacher_text(reading)) is not None:
        show(line)
    show(standing_text(reading))
    show(cost_text(reading))
    _show_notes(reading)


def _show_notes(reading: Reading) -> None:
    for note in reading.notes:
        show(f"{note.file} is {note.state}. {note.why}")
