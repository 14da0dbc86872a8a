"""The command line: arguments → recipe → one call."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tutelage import __version__
from tutelage.cli.common import Data, Out, Overrides, RecipeArgument, RoundOption, RunArgument, quiet, read, show
from tutelage.cli.compare import compare
from tutelage.cli.export import export
from tutelage.cli.ranks import Gpus, done_on_ranks, is_launched, run_rank
from tutelage.cli.report import report, report_after_round
from tutelage.cli.showing import show_run
from tutelage.cli.stages import evaluate, exam, feedback, study
from tutelage.cli.teacher import estimate, ledger
from tutelage.cli.watch import watch
from tutelage.errors import TutelageError
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
    if done_on_ranks(gpus, recipe, overrides, data):
        return
    _learn(recipe, out, data, overrides or [])


@app.command()
def resume(run: RunArgument, overrides: Overrides = None, gpus: Gpus = None) -> None:
    """Go on with a run that was stopped, or with more rounds (rounds.limit=5)."""
    from tutelage.rounds import resume as go_on

    if done_on_ranks(gpus, run, overrides):
        return
    quiet()
    _print_outcome(go_on(run, overrides or [], _print_table))


app.command()(exam)
app.command()(feedback)
app.command()(study)
app.command()(evaluate)


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

    quiet()
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


_STOPPED = (
    "Stopped. What was finished is kept; `tutelage resume RUN` goes on from there; a comparison by the same command."
)


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

    quiet()
    run = go(read(recipe, overrides, data), out or Path("runs") / recipe.stem, _print_table)
    _print_outcome(run)
    return run


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
