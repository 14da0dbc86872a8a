"""Where a run's numbers come from, recorded replies included."""

from __future__ import annotations

from pathlib import Path

from tutelage.config import RecordedTeacherSettings
from tutelage.errors import DataError
from tutelage.evaluation.provenance import Provenance, provenance
from tutelage.rounds.cast import find_files
from tutelage.rounds.run import Run


def run_provenance(run: Run) -> Provenance:
    """Of a run, finished or not. Raises: WorkspaceError if its folder is damaged."""
    return provenance(run.workspace, run.recipe, _recorded_replies(run))


def _recorded_replies(run: Run) -> tuple[Path, ...]:
    patterns = [
        file
        for settings in (run.recipe.first_teacher, run.recipe.teacher)
        if isinstance(settings, RecordedTeacherSettings)
        for file in settings.files
    ]
    try:
        return find_files(patterns, run.recipe.task.data)
    except DataError:  # a finished run may outlive its files, which then have no hash
        return tuple(patterns)
