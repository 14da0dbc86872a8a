"""Tables 2, 13 and 14: questions that turned right, and those that turned wrong, picked by rule."""

from __future__ import annotations

from collections.abc import Sequence

from tutelage.comparisons.compared import Compared
from tutelage.comparisons.paper import Paper
from tutelage.comparisons.results import RunResult
from tutelage.comparisons.table import Cell, Table
from tutelage.evaluation.cases import CaseStudy, cases_markdown
from tutelage.rounds.cases import corrected_cases, evaluated_cases
from tutelage.rounds.run import open_run
from tutelage.workspace import write_text


def analyse(compared: Compared, paper: Paper | None) -> Sequence[Table]:
    """How many questions turned, run by run; the cases themselves are in each run's cases.md."""
    lines = []
    for result in compared.results:
        studies = _studies(result)
        write_text(result.folder / "cases.md", cases_markdown(studies))
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
    last = result.rounds[-1].number
    if last == 0:
        return []
    run = open_run(result.folder, lock=False)
    return [*corrected_cases(run, last), *evaluated_cases(run, 0, last)]
