"""The command that compares methods, and writes the tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tutelage.cli.common import Data, Overrides, quiet, show
from tutelage.errors import RecipeError, TutelageError
from tutelage.progress import say

ComparisonArgument = Annotated[
    Path,
    typer.Argument(
        metavar="COMPARISON|FOLDER", help="A TOML file, such as configs/comparisons/table1.toml, or a folder of them."
    ),
]


def compare(
    comparison: ComparisonArgument,
    overrides: Overrides = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FOLDER", help="Where to; else runs/comparisons/ and the file's name."),
    ] = None,
    data: Data = None,
    paper: Annotated[
        Path | None, typer.Option("--paper", metavar="JSON", help="The paper's numbers, to be put beside.")
    ] = None,
    jobs: Annotated[
        int,
        typer.Option(
            "--jobs", metavar="N", help="Make N runs at a time, by a process each; several GPUs are shared out to them."
        ),
    ] = 1,
) -> None:
    """Run a grid of methods, doing once what they share, and write its tables. The same command goes on."""
    from tutelage.comparisons.analyses import ANALYSES
    from tutelage.comparisons.compare import compare as run
    from tutelage.comparisons.settings import read_comparison
    from tutelage.comparisons.tables.paper import read_paper
    from tutelage.comparisons.tables.table import to_markdown

    quiet()
    files = sorted(comparison.glob("*.toml")) if comparison.is_dir() else [comparison]
    if not files:
        raise RecipeError(f"There is no comparison in {comparison}: it holds no .toml file.")
    theirs = None if paper is None else read_paper(paper)
    read = [(file, read_comparison(file, list(ANALYSES))) for file in files]  # what is wrong shows before any runs
    for file, settings in read:
        folder = (
            Path("runs/comparisons") / file.stem if out is None else out / file.stem if comparison.is_dir() else out
        )
        for table in run(settings, file, folder, overrides or [], data, theirs, jobs):
            show(to_markdown(table))
        show(f"The tables are in {folder / 'table.md'}, table.csv and table.json; the runs' numbers in results.json.")
        if (page := _report(folder)) is not None:
            show(f"The report is in {page}.")


def _report(folder: Path) -> Path | None:
    """Writes the comparison's report. What keeps it from being written is told: the tables are there."""
    from tutelage.report.side_by_side import write_side_by_side

    try:
        return write_side_by_side([folder])
    except (TutelageError, OSError) as error:
        say(f"The report could not be written: {error} `tutelage report {folder}` writes it later.")
        return None
