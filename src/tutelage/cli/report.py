"""The commands that show a run: `report`."""

from __future__ import annotations

import os
import sys
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from tutelage.cli.common import quiet, show
from tutelage.errors import RecipeError, TutelageError
from tutelage.progress import say

RunsArgument = Annotated[list[Path], typer.Argument(metavar="RUN [RUN]...", help="Run folders.")]
NoOpen = Annotated[bool, typer.Option("--no-open", help="Leave the browser alone.")]


def report(
    runs: RunsArgument,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Where to; else report.html in the run folder.")
    ] = None,
    no_open: NoOpen = False,
    inside: Annotated[
        bool,
        typer.Option("--inside", help="Read right and wrong solutions with the students first, in about a minute."),
    ] = False,
) -> None:
    """Write a run's report, one HTML file that needs no network, and open it."""
    from tutelage.report.write import write_report

    if out is not None and len(runs) > 1:
        raise RecipeError(f"--out names one file, and there are {len(runs)} runs: leave it out, or give one run.")
    for run in runs:
        if inside:
            _read_inside(run)
        path = write_report(run, out)
        show(f"The report is in {path}.")
        if not no_open:
            open_page(path.resolve().as_uri())


def _read_inside(run: Path) -> None:
    from tutelage.report.inside import read_inside

    quiet()
    for path in read_inside(run):
        show(f"What the student makes of right and wrong solutions is in {path}.")


def open_page(address: str) -> None:
    """Opens a page where there is a desktop to open it on."""
    if sys.platform.startswith("linux") and not any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")):
        return
    webbrowser.open(address)


def report_after_round(folder: Path) -> Path | None:
    """Writes a run's report while it goes on. What keeps it from being written is told, and ends no run."""
    from tutelage.report.write import write_report

    try:
        return write_report(folder)
    except Exception as error:  # a bug in the report is no reason to end a run of hours
        what = str(error) if isinstance(error, TutelageError) else f"{type(error).__name__}: {error}"
        say(f"The report could not be written, and the run goes on without it. {what}")
    return None
