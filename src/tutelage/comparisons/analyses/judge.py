"""Table 6: what a judge, a large model, makes of right and of wrong answers, round by round.

What the judge was asked is in one ledger for all runs, COMPARISON/judge.sqlite, so that its caps hold for the whole
table; its scores are in each round's judgement.json, too. Made again, the table asks nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tutelage.comparisons.settings import ColumnSettings, ComparisonSettings
from tutelage.comparisons.tables.compared import Compared
from tutelage.comparisons.tables.paper import Paper
from tutelage.comparisons.tables.table import Cell, Table
from tutelage.config import OpenAITeacherSettings, SampledTeacherSettings
from tutelage.errors import RecipeError
from tutelage.evaluation.cost import teacher_cost
from tutelage.rounds.judge import judge_round, judge_settings
from tutelage.rounds.run import open_run
from tutelage.teacher.books.accounts import totals
from tutelage.teacher.books.ledger import Ledger

_ANSWERS = 50
"""Right ones and wrong ones of each round, at most."""
_KINDS = ("right", "wrong")


def analyse(compared: Compared, paper: Paper | None) -> Sequence[Table]:
    """One line a round of each run: mean score and deviation of its right and of its wrong test answers.

    Raises: RecipeError if the comparison names no judge; TeacherError, BudgetError as the judge does.
    """
    judge = judge_of(compared.settings, compared.folder)
    lines, books = [], compared.folder / "judge.sqlite"
    for column in compared.settings.columns:
        for row in compared.settings.rows:
            theirs = _paper_rounds(compared, column, paper)
            for result in compared.of(row.name, column):
                name = ", ".join(part for part in (row.name, column.name) if part)
                who = (Cell(name), Cell(str(result.seed)))
                run = open_run(result.folder, lock=False)
                answered = [one.number for one in result.rounds if run.round(one.number).answers.is_file()]
                for number in answered:
                    found = judge_round(run, number, judge, _ANSWERS, books=books)
                    beside = _their_cells(theirs, number) if paper is not None else ()
                    lines.append((*who, Cell(str(number)), *_cells(found), *beside))
    heading = ["row", "seed", "round"]
    for kind in _KINDS:
        heading += [f"{kind} answers", *(f"{what} of {kind} ones" for what in ("score", "deviation", "unreadable"))]
    if paper is not None:
        heading += [f"the paper's {kind}: {what}" for kind in _KINDS for what in ("score", "deviation")]
    return [Table("judge", compared.settings.title, tuple(heading), tuple(lines), _notes(judge, books))]


def judge_of(settings: ComparisonSettings, folder: Path) -> SampledTeacherSettings:
    """The comparison's judge. All runs share what it replied: several rows begin with the same untrained student.

    Raises: RecipeError if the comparison names none.
    """
    if settings.judge is None:
        raise RecipeError(
            'A comparison with table = "judge" needs a [judge] section, with the keys of a recipe\'s [teacher]: kind '
            '"openai" or "local", and a model.'
        )
    judge = judge_settings(settings.judge)
    if isinstance(judge, OpenAITeacherSettings) and judge.cache is None:
        return judge.model_copy(update={"cache": (folder / "replies.sqlite").resolve()})
    return judge


def _notes(judge: SampledTeacherSettings, books: Path) -> tuple[str, ...]:
    return (
        f"The judge is {judge.model}, at temperature 0; it sees question and answer, and neither the right answer nor "
        "the round. Scores go from 1 to 5; the deviation is over the answers.",
        f"Of each round's test answers up to {_ANSWERS} right and as many wrong ones, picked by rule. A score that "
        "cannot be read counts as unreadable, and in no mean.",
        *([_cost_note(books)] if books.is_file() else []),
    )


def _cost_note(books: Path) -> str:
    with Ledger(books) as ledger:
        spent = teacher_cost(totals(ledger, "judgement").values())
    tokens = "an unknown number of" if spent.tokens is None else f"{spent.tokens:,}"
    money = "an unknown sum" if spent.money is None else spent.money if float(spent.money) else "nothing"
    return f"The judge was asked {spent.requests:,} times in all, for {tokens} tokens, and paid {money}."


def _cells(found: Mapping[str, Any]) -> list[Cell]:
    cells = []
    for kind in _KINDS:
        one = found[kind]
        cells += [Cell(one["answers"]), Cell(one["mean"], digits=2), Cell(one["deviation"], digits=2)]
        cells.append(Cell(one["unreadable"]))
    return cells


def _paper_rounds(compared: Compared, column: ColumnSettings, paper: Paper | None) -> Sequence[Mapping[str, Any]]:
    task = column.paper or compared.settings.paper
    row = None if paper is None else paper.row("table_6", task=task)
    return () if row is None else row["rounds"]


def _their_cells(rounds: Sequence[Mapping[str, Any]], number: int) -> list[Cell]:
    one = rounds[number] if number < len(rounds) else {}
    names = ("correct_mean", "correct_std", "wrong_mean", "wrong_std")
    return [Cell(one.get(name), digits=2) for name in names]
