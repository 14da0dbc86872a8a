"""RUN/report.html."""

from __future__ import annotations

from pathlib import Path

from tutelage.errors import WorkspaceError
from tutelage.report.gathering.run import gather_run
from tutelage.report.page.page import assemble
from tutelage.workspace import write_text

REPORT = "report.html"


def write_report(folder: Path, out: Path | None = None) -> Path:
    """Writes the page of a run and returns where it is: `out`, or report.html in the folder.

    Of a run that is incomplete, damaged or of another version it says what is missing.
    Raises: WorkspaceError if it is no run, or the file cannot be written; RecipeError without vl-convert-python.
    """
    check_run(folder)
    path = out or folder / REPORT
    sections = gather_run(folder)
    write_text(path, assemble(str(sections["about"].data["title"]), sections))
    return path


def check_run(folder: Path) -> None:
    """Raises: WorkspaceError if nothing in the folder is a run's. One that lost its recipe still is one."""
    names = ("recipe.toml", "journal.jsonl", "questions.jsonl", "round-0")
    try:
        is_run = any((folder / name).exists() for name in names)
    except OSError as error:
        raise WorkspaceError(f"{folder} cannot be read: {error.strerror or error}.") from None
    if not is_run:
        what = "is not a run folder" if folder.is_dir() else "is not there"
        raise WorkspaceError(f"{folder} {what}. `tutelage learn` makes one; give the folder that it named.")
