"""The commands about what a teacher is asked and paid: before a run, and after."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from tutelage.cli.common import Data, Overrides, RunArgument, read, show
from tutelage.errors import RecipeError, WorkspaceError

EstimateArgument = Annotated[
    Path, typer.Argument(metavar="RECIPE|RUN", help="A recipe, or a run folder for what is left of it.")
]

TeacherOption = Annotated[
    bool,
    typer.Option("--teacher", help="Instead: the teacher's own few-shot accuracy on the run's test questions."),
]


def estimate(
    target: EstimateArgument,
    overrides: Overrides = None,
    error_rate: Annotated[
        float | None,
        typer.Option("--error-rate", min=0, max=1, metavar="X", help="Share of questions with a wrong attempt."),
    ] = None,
    like: Annotated[
        Path | None, typer.Option("--like", metavar="RUN", help="Goes by the tokens that another run's replies took.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    data: Data = None,
) -> None:
    """What the teacher will be asked and what that will cost, round by round; sends nothing and needs no key."""
    from tutelage.report.estimate import estimate_json, estimate_table
    from tutelage.rounds.estimate.basis import measured_like
    from tutelage.rounds.estimate.calculation import estimate as calculate

    recipe, basis = _of_run(target, overrides or [], data) if target.is_dir() else _of_recipe(target, overrides, data)
    if like is not None:
        basis = measured_like(basis, like)
    found = calculate(recipe, basis, _prices(recipe.teacher), error_rate)
    show(json.dumps(estimate_json(found), indent=2, ensure_ascii=False) if as_json else estimate_table(found))


def _of_recipe(path: Path, overrides: list[str] | None, data: Path | None) -> tuple[Any, Any]:
    from tutelage.rounds.estimate.basis import basis_of_recipe

    recipe = read(path, overrides or [], data)
    return recipe, basis_of_recipe(recipe)


def _of_run(folder: Path, overrides: list[str], data: Path | None) -> tuple[Any, Any]:
    from tutelage.recipes import read_recipe
    from tutelage.rounds.estimate.basis import basis_of_run
    from tutelage.workspace import Workspace

    if data is not None:
        raise RecipeError(f"{folder} is a run folder, which has its data: leave out --data.")
    for override in overrides:
        if not override.startswith(("teacher.", "rounds.")):
            raise RecipeError(
                f"{override!r} changes nothing in an estimate for a run that has begun; teacher.* and rounds.* do. "
                "For the rest estimate a recipe."
            )
    workspace = Workspace.open_run(folder, lock=False)
    recipe = read_recipe(workspace.recipe, overrides)
    return recipe, basis_of_run(workspace, recipe)


def _prices(teacher: Any) -> Any:
    from tutelage.config import OpenAITeacherSettings
    from tutelage.teacher.books.prices import prices_for
    from tutelage.teacher.openai.keys import address

    return prices_for(teacher, address(teacher)) if isinstance(teacher, OpenAITeacherSettings) else None


def ledger(
    run: RunArgument,
    question: Annotated[
        str | None, typer.Argument(metavar="[QUESTION]", help="A question's id: shows all that was said about it.")
    ] = None,
) -> None:
    """What the teacher was asked, answered and was paid, round by round; or all about one question."""
    from tutelage.report.teacher import conversation_text, ledger_table
    from tutelage.teacher.books.accounts import conversation, totals
    from tutelage.teacher.books.view import LedgerView
    from tutelage.workspace import Workspace

    path = Workspace.open_run(run, lock=False).ledger
    if not path.is_file():
        raise WorkspaceError(f"No teacher has been asked in {run} yet: there is no {path}.")
    with LedgerView(path) as opened:
        if question is None:
            show(ledger_table(totals(opened)))
            if judged := totals(opened, "judgement"):
                show("What the judge of the student's rationales was asked:")
                show(ledger_table(judged))
            return
        entries = conversation(opened, question)
        if not entries:
            raise WorkspaceError(_not_asked(opened, question))
        show(conversation_text(entries))


def _not_asked(opened: Any, question: str) -> str:
    import difflib

    asked = [str(row[0]) for row in opened.rows("SELECT DISTINCT question FROM calls ORDER BY question")]
    near = difflib.get_close_matches(question, asked, n=1, cutoff=0) or ["none at all"]
    return f"The teacher was asked nothing about {question!r}, but about {len(asked)} questions such as {near[0]!r}."


def measured_teacher(folder: Path, overrides: list[str], alone: bool) -> str:
    """What `evaluate RUN --teacher` prints. alone: whether no other option is beside it."""
    from tutelage.baselines.teacher import ledger_path, score_path, teacher_line
    from tutelage.cli.common import quiet
    from tutelage.report.teacher import NOTHING, paid_text
    from tutelage.report.terminal import score_text
    from tutelage.rounds.run import open_run
    from tutelage.teacher.books.accounts import totals
    from tutelage.teacher.books.ledger import Ledger

    if not alone:
        raise RecipeError("--teacher measures the teacher of a run that there is: leave out all other options.")
    quiet()
    score = teacher_line(open_run(folder, overrides))
    said = f"Teacher {score['teacher']}: test {score_text(score)}, {score['unanswered']} questions unanswered"
    if ledger_path(folder).is_file():  # opening it would make it
        with Ledger(ledger_path(folder)) as opened:
            paid = paid_text([*totals(opened).values()])
        said += f", paid {'nothing' if paid == NOTHING else paid}"
    return f"{said}. See {score_path(folder).with_suffix('.jsonl')}."
