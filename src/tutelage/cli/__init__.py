"""The command line: arguments → recipe → one call."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from tutelage import __version__
from tutelage.cli.common import (
    Data,
    Out,
    Overrides,
    RecipeArgument,
    RoundOption,
    RunArgument,
    TargetArgument,
    read,
    show,
)
from tutelage.cli.common import quiet as _quiet
from tutelage.cli.compare import compare
from tutelage.cli.export import export
from tutelage.cli.ranks import Gpus, is_launched, run_rank, started
from tutelage.cli.report import report, report_after_round
from tutelage.cli.showing import show_run
from tutelage.cli.teacher import TeacherOption, estimate, ledger, measured_teacher
from tutelage.cli.watch import watch
from tutelage.errors import RecipeError, TutelageError
from tutelage.progress import plain

app = typer.Typer(
    help="Teaches a small language model to reason, with lessons a large one tailors to its mistakes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command()
def demo(out: Out = None) -> None:
    """The whole loop on this machine in minutes: no key, no hub, no GPU."""
    from tutelage.report.terminal import find_stories, story_panel

    recipe = _recipes() / "demo.toml"
    run = _learn(recipe, out or _free(Path("runs/demo")), None, [])
    stories = find_stories(run, _last_round(run))
    for story in stories[:3]:
        show(story_panel(story))
    right = sum(story.answer.correct for story in stories)
    show(f"Of {len(stories)} questions whose mistakes were corrected last, asked again, {right} are right now.")


@app.command()
def learn(
    recipe: RecipeArgument, overrides: Overrides = None, out: Out = None, data: Data = None, gpus: Gpus = None
) -> None:
    """Run rounds of exam, feedback, study and evaluation until the student stops improving."""
    if _on_ranks(gpus, recipe, overrides, data):
        return
    _learn(recipe, out, data, overrides or [])


@app.command()
def resume(run: RunArgument, overrides: Overrides = None, gpus: Gpus = None) -> None:
    """Go on with a run that was stopped, or with more rounds (rounds.limit=5)."""
    from tutelage.rounds import resume as go_on

    if _on_ranks(gpus, run, overrides):
        return
    _quiet()
    _print_outcome(go_on(run, overrides or [], _print_table))


@app.command()
def exam(
    target: TargetArgument,
    overrides: Overrides = None,
    out: Out = None,
    data: Data = None,
    number: RoundOption = None,
    gpus: Gpus = None,
) -> None:
    """One stage: the student tries every training question; prints its error rate."""
    from tutelage.rounds import exam as sit
    from tutelage.rounds import mistakes

    if _on_ranks(gpus, target, overrides, data):
        return
    run, number = _stage(target, overrides, out, data, number, lambda place: place.mistakes)
    with run.status.during(number, "exam"):
        attempts = sit(run, number)
    wrong = sum(not attempt.correct for attempt in attempts)
    found = mistakes(run, number)
    show(
        f"Round {number}: {wrong} of {len(attempts)} attempts wrong ({wrong / len(attempts):.1%}), "
        f"{len(found)} mistakes kept. See {run.round(number).exam}."
    )


@app.command()
def feedback(
    target: TargetArgument,
    overrides: Overrides = None,
    out: Out = None,
    data: Data = None,
    number: RoundOption = None,
) -> None:
    """One stage: the teacher corrects a round's mistakes; prints what became of its replies."""
    from tutelage.rounds import feedback as correct
    from tutelage.rounds.feedback import count_verdicts

    run, number = _stage(target, overrides, out, data, number, lambda place: place.feedback)
    with run.status.during(number, "feedback"):
        verdicts = count_verdicts(correct(run, number))
    listed = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items()) or "none"
    show(f"Round {number}: replies: {listed}. See {run.round(number).feedback}.")


@app.command()
def study(
    target: TargetArgument,
    overrides: Overrides = None,
    out: Out = None,
    data: Data = None,
    number: RoundOption = None,
    gpus: Gpus = None,
) -> None:
    """One stage: the student trains on a round's lesson."""
    from tutelage.rounds import study as train

    if _on_ranks(gpus, target, overrides, data):
        return
    run, number = _stage(target, overrides, out, data, number, _studied)
    with run.status.during(number, "study"):
        train(run, number)
    show(f"Round {number}: the student is in {run.round(number).student}.")


def _studied(place: Any) -> Path:
    """What is there when a round has been studied; its student may have been deleted since (rounds.keep)."""
    return Path(place.summary if place.summary.is_file() else place.student)


@app.command()
def evaluate(
    target: TargetArgument,
    overrides: Overrides = None,
    out: Out = None,
    data: Data = None,
    number: RoundOption = None,
    gpus: Gpus = None,
    teacher: TeacherOption = False,
) -> None:
    """One stage: greedy accuracy on the test split and the held-out part; round 0 is the untrained student."""
    from tutelage.report.terminal import score_text
    from tutelage.rounds import evaluate as score

    if teacher:
        show(measured_teacher(target, overrides or [], alone=(data, out, number, gpus) == (None,) * 4))
        return
    if _on_ranks(gpus, target, overrides, data):
        return
    run, number = _stage(target, overrides, out, data, number, lambda place: place.evaluation, first=0)
    with run.status.during(number, "evaluation"):
        result = score(run, number)
    show(f"Round {number}: test {score_text(result)}, held out {score_text(result['held_out'])}.")


@app.command()
def ask(
    run: RunArgument,
    question: Annotated[str, typer.Argument(help="Any question of the kind the student learned.")],
    choice: Annotated[
        list[str] | None, typer.Option("--choice", help="A choice's text; once for each, in order.")
    ] = None,
    number: RoundOption = None,
) -> None:
    """Ask a run's student; the best round's, or that of --round (0: the untrained one)."""
    from tutelage.rounds import ask as put

    _quiet()
    attempt = put(run, question, tuple(choice or ()), number)
    show(attempt.text.strip() or "(The student wrote nothing.)")


app.command()(estimate)
app.command()(ledger)
app.command()(compare)
app.command()(report)
app.command()(watch)
app.command("show")(show_run)
app.command()(export)


@app.command()
def tasks() -> None:
    """List the tasks that come with Tutelage."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from tutelage.tasks import TASKS

    table = Table("name", "answers", "what", box=SIMPLE_HEAD)
    for heading in ("source", "licence"):
        table.add_column(heading, overflow="fold")  # an address with its end cut off leads nowhere
    for name, task in TASKS.items():
        table.add_row(name, task.kind or "as you say", task.description, task.source, task.licence)
    show(table)


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False) -> None:
    if version:
        show(f"tutelage {__version__}")
        raise typer.Exit


def main() -> None:
    """Entry point. A user's error: one message, exit code 2. Ctrl-C: exit code 130, the run resumes."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    if is_launched():
        run_rank(app, _STOPPED)
        return
    try:
        app()
    except TutelageError as error:
        _fail(f"Error: {error}", 2)
    except KeyboardInterrupt:
        _fail(_STOPPED, 130)
    except SystemExit as stop:
        if stop.code == 130:  # typer's own way to end on Ctrl-C
            _fail(_STOPPED, 130)
        raise


_STOPPED = "Stopped. What was finished is kept; `tutelage resume RUN` goes on from there."


def _fail(message: str, code: int) -> None:
    print(plain(message), file=sys.stderr)  # noqa: T201 - plain: a path in it must not be wrapped or coloured
    sys.exit(code)


def _recipes() -> Path:
    """The folder of the shipped recipes: inside an installed package, or configs/ of a checkout."""
    packaged = Path(__file__).parents[1] / "configs"
    return packaged if packaged.is_dir() else Path(__file__).parents[3] / "configs"


def _free(folder: Path) -> Path:
    """The folder, or the first of folder-2, folder-3, ... that is not there yet."""
    number, free = 1, folder
    while free.exists():
        number += 1
        free = folder.with_name(f"{folder.name}-{number}")
    return free


def _learn(recipe: Path, out: Path | None, data: Path | None, overrides: list[str]) -> Any:
    from tutelage.rounds import learn as go

    _quiet()
    run = go(read(recipe, overrides, data), out or Path("runs") / recipe.stem, _print_table)
    _print_outcome(run)
    return run


def _on_ranks(gpus: int | None, target: Path, overrides: list[str] | None, data: Path | None = None) -> bool:
    """Whether this command has run on several GPUs, and is done. target: a recipe, or a run folder, which has one."""
    file = target / "recipe.toml" if target.is_dir() else target
    if gpus is None or not file.is_file():  # the latter is an error, which whoever opens the run tells
        return False
    recipe = read(file, overrides or [], data)
    return started(gpus, recipe.student.device)


def _stage(
    target: Path,
    overrides: list[str] | None,
    out: Path | None,
    data: Path | None,
    number: int | None,
    file: Callable[[Any], Path],
    first: int = 1,
) -> tuple[Any, int]:
    """The run that a stage's command works on, and the round: the first one whose file is not there."""
    from tutelage.rounds.run import open_run, start_run

    _quiet()
    if target.is_dir():
        if data is not None or out is not None:
            raise RecipeError(
                f"{target} is a run folder, which has its data and its place: leave out --data and --out."
            )
        run = open_run(target, overrides or [])
    else:
        run = start_run(read(target, overrides or [], data), out or Path("runs") / target.stem)
        show(f"The run folder is {run.workspace.folder}.")
    if number is None:
        number = first
        while file(run.round(number)).exists():
            number += 1
    return run, number


def _last_round(run: Any) -> int:
    from tutelage.workspace import read_json

    return int(read_json(run.workspace.outcome)["last_round"])


def _print_table(run: Any, number: int) -> None:
    from tutelage.report.reading import Reading
    from tutelage.report.terminal import rounds_table, teacher_text

    show(rounds_table(Reading(run.workspace.folder)))
    if (said := teacher_text(run, number)) is not None:
        show(said)
    report_after_round(run.workspace.folder)


def _print_outcome(run: Any) -> None:
    from tutelage.report.terminal import outcome_text

    show(outcome_text(run))
    if (path := report_after_round(run.workspace.folder)) is not None:
        show(f"The report is in {path}.")


if __name__ == "__main__":
    main()
