"""Tables 2, 13 and 14: questions that turned right, and those that turned wrong, picked by rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from tutelage.comparisons.results import RunResult
from tutelage.comparisons.tables.compared import Compared
from tutelage.comparisons.tables.paper import Paper
from tutelage.comparisons.tables.table import Cell, Table
from tutelage.evaluation.cases import CaseStudy, cases_markdown
from tutelage.rounds.cases import corrected_cases, evaluated_cases
from tutelage.rounds.run import open_run
from tutelage.workspace import write_json, write_text


def analyse(compared: Compared, paper: Paper | None) -> Sequence[Table]:
    """How many questions turned, run by run; the cases themselves are in each run's cases.md and cases.json."""
    lines = []
    for result in compared.results:
        studies = _studies(result)
        write_text(result.folder / "cases.md", cases_markdown(studies))
        write_json(result.folder / "cases.json", [asdict(study) for study in studies])
        who = ", ".join(part for part in (result.row, result.column) if part)
        lines += [
            (
                Cell(who),
                Cell(str(result.seed)),
                Cell(study.title),
                Cell(study.looked_at),
                Cell(study.turned),
                Cell(len(study.cases)),
                Cell(str((result.folder / "cases.md").relative_to(compared.folder))),
            )
            for study in studies
        ]
    heading = ("row", "seed", "questions", "looked at", "turned", "shown", "in")
    notes = ("Cases are picked by a rule that their file states, not by hand.",)
    return [Table("cases", compared.settings.title, heading, tuple(lines), notes)]


def _studies(result: RunResult) -> list[CaseStudy]:
    """Of the last round with a student; what turned after feedback only where a method has exam and feedback."""
    run = open_run(result.folder, lock=False)
    last = max((one.number for one in result.rounds if run.round(one.number).student.is_dir()), default=0)
    if last == 0:
        return []
    place = run.round(last)
    corrected = corrected_cases(run, last) if place.exam.is_file() and place.feedback.is_file() else ()
    return [*corrected, *evaluated_cases(run, 0, last)]
