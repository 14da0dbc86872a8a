"""`tutelage show`: a run in the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tutelage.cli.common import RunArgument, show
from tutelage.errors import RecipeError


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
    for note in reading.notes:
        show(f"{note.file} is {note.state}. {note.why}")


def _show_rounds(folder: Path) -> None:
    from tutelage.report.reading import Reading
    from tutelage.report.standing import cost_text, standing_text, teacher_text

    reading = Reading(folder)
    evaluated = [number for number in reading.rounds() if reading.round(number).evaluation.is_file()]
    if evaluated:
        from tutelage.report.terminal import rounds_table
        from tutelage.rounds.run import open_run

        show(rounds_table(open_run(folder, lock=False), evaluated[-1]))
    if (line := teacher_text(reading)) is not None:
        show(line)
    show(standing_text(reading))
    show(cost_text(reading))
