"""The page of several runs, or of what `tutelage compare` wrote."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from tutelage import __version__
from tutelage.errors import RecipeError, TutelageError
from tutelage.progress import say
from tutelage.report.gathering import Section
from tutelage.report.gathering import comparison as of_runs
from tutelage.report.gathering import comparisons as of_tables
from tutelage.report.page.page import assemble
from tutelage.report.reading import Reading
from tutelage.report.write import REPORT, check_run, write_report
from tutelage.workspace import Workspace, write_text

_BESIDE = "comparison.html"
"""Of runs that were named one by one, in the folder of the first."""


def write_side_by_side(targets: Sequence[Path], out: Path | None = None) -> Path | None:
    """Writes the page of several runs, of a comparison's folder or of a folder of them; where it is.

    None for one run alone, which has a page of its own. That of each run is written first, to be linked.
    Raises: WorkspaceError if a folder is neither, or the file cannot be written; RecipeError without vl-convert-python.
    """
    targets = list({target.resolve(): target for target in targets}.values())
    compared = {target: of_tables.find_comparisons(target) for target in targets}
    tables = [folder for found in compared.values() for folder in found]
    runs = [target for target, found in compared.items() if not found]
    if not tables and len(runs) == 1:
        return None
    for run in runs:
        check_run(run)
    for run in [*runs, *(run for folder in tables for run in of_tables.runs_of(folder))]:
        _write_own(run)
    path = out or (runs[0].resolve().parent / _BESIDE if runs else targets[0] / REPORT)
    sections: dict[str, Section] = {"about": Section(_about(tables, runs))}
    if runs:
        sections["comparison"] = of_runs.gather([Reading(run) for run in runs], path.parent)
    for number, folder in enumerate(tables, start=1):
        sections[f"comparison-{number}"] = of_tables.gather(folder, path.parent)
    write_text(path, assemble(str(sections["about"].data["title"]), sections))
    return path


def _write_own(run: Path) -> None:
    """A run's own page, unless nothing has happened in the run since it was written."""
    workspace, report = Workspace(run), run / REPORT
    events = [path for path in (workspace.journal, workspace.outcome, run / "teacher.json") if path.is_file()]
    if report.is_file() and all(path.stat().st_mtime_ns <= report.stat().st_mtime_ns for path in events):
        return
    try:
        write_report(run)
    except RecipeError:
        raise
    except (TutelageError, OSError) as error:
        say(f"A run's own report could not be written, and is not linked: {error}")


def _about(tables: Sequence[Path], runs: Sequence[Path]) -> dict[str, object]:
    what = [
        *([f"{len(runs)} runs"] if runs else []),
        *([tables[0].resolve().name] if len(tables) == 1 else [f"{len(tables)} comparisons"] if tables else []),
    ]
    return {
        "title": f"Compared: {' and '.join(what)}",
        "run": None,
        "written": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "version": __version__,
        "missing": [],
        "failed": [],
    }
