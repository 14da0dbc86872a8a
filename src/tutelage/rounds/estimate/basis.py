"""What an estimate goes by: a recipe's questions, or what a run knows by now. Nothing here sends or writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tutelage.config import Recipe
from tutelage.errors import WorkspaceError
from tutelage.records import Demonstration, Mistake, Question
from tutelage.rounds.estimate.tokens import Measured, measured
from tutelage.rounds.feedback import questions_to_ask
from tutelage.rounds.questions import choose_questions
from tutelage.rounds.run import Run
from tutelage.teacher.books.accounts import Totals, totals
from tutelage.teacher.books.ledger import Ledger
from tutelage.teacher.books.prices import to_pico
from tutelage.workspace import Workspace, read_records

Asked = tuple[Question, Mistake | None]


@dataclass(frozen=True, slots=True)
class Used:
    """What a round that is over came to.

    calls: those that the caps count. cost: in 10⁻¹² of the prices' money, None if unknown.
    """

    requests: int
    calls: int
    prompt_tokens: int
    completion_tokens: int
    cost: int | None


@dataclass(frozen=True, slots=True)
class Basis:
    """What is known before an estimate.

    questions: the training questions. demonstrations: those before every request to the teacher.
    exam: the last round whose exam is done, 0 if none is; mistakes: one of it for each question that has any.
    asked: what rounds will ask whose exam is done, and whose feedback is not. used: what rounds that are over came to.
    maybe_tokens, maybe_cost: what calls may have cost on top of that, as the caps count it.
    measured: tokens of the calls in a ledger, measured_in says which; None: no ledger tells.
    """

    questions: Sequence[Question]
    demonstrations: Sequence[Demonstration]
    exam: int = 0
    mistakes: Mapping[str, Mistake] = field(default_factory=dict)
    asked: Mapping[int, Sequence[Asked]] = field(default_factory=dict)
    used: Mapping[int, Used] = field(default_factory=dict)
    maybe_tokens: int = 0
    maybe_cost: int = 0
    measured: Measured | None = None
    measured_in: str = ""

    def likely(self) -> list[Asked]:
        """Questions with the mistakes that a round without an exam may show: the last exam's, else the demonstrations'
        wrong solutions in turn.
        """
        made = [(question, self.mistakes[question.id]) for question in self.questions if question.id in self.mistakes]
        if made:
            return [*made]
        wrong = [demonstration.wrong_rationale or "" for demonstration in self.demonstrations]
        return [
            (question, Mistake(question.id, wrong[place % len(wrong)], question.answer))
            for place, question in enumerate(self.questions)
        ]


def basis_of_recipe(recipe: Recipe) -> Basis:
    """Loads the task alone: no student, no run folder. Raises: RecipeError, DataError."""
    chosen = choose_questions(recipe)
    return Basis(chosen.split.train, chosen.feedback_demonstrations)


def basis_of_run(workspace: Workspace, recipe: Recipe) -> Basis:
    """What a run knows by now. recipe: its own, or with other teacher settings. Raises: WorkspaceError."""
    run = Run(workspace, recipe)
    counts, found = _ledger(workspace)
    numbers = [number for number in range(1, recipe.rounds.limit + 1) if run.round(number).mistakes.is_file()]
    exam = max(numbers, default=0)
    used: dict[int, Used] = {}
    asked: dict[int, Sequence[Asked]] = {}
    for number in numbers:
        done = _used(counts.get(number)) if run.round(number).feedback.is_file() else None
        if done is not None:
            used[number] = done
        else:
            asked[number] = questions_to_ask(run, number)
    made = reversed(read_records(run.round(exam).mistakes, Mistake)) if exam else []
    return Basis(
        run.questions["train"],
        run.feedback_demonstrations,
        exam,
        {mistake.question_id: mistake for mistake in made},
        asked,
        used,
        sum(one.maybe_tokens for one in counts.values()),
        sum(to_pico(one.maybe_cost) for one in counts.values()),
        found,
        str(workspace.ledger),
    )


def measured_like(basis: Basis, folder: Path) -> Basis:
    """The same with tokens as another run's ledger tells them. Raises: WorkspaceError if it tells none."""
    workspace = Workspace.open_run(folder, lock=False)
    _, found = _ledger(workspace)
    if found is None:
        raise WorkspaceError(
            f"No reply in {folder} says how many tokens it took. Leave out --like, or name another run."
        )
    return replace(basis, measured=found, measured_in=str(workspace.ledger))


def _ledger(workspace: Workspace) -> tuple[dict[int, Totals], Measured | None]:
    if not workspace.ledger.is_file():  # opening it would make it
        return {}, None
    with Ledger(workspace.ledger) as ledger:
        return totals(ledger), measured(ledger)


def _used(total: Totals | None) -> Used | None:
    """What a round came to; None where the teacher does not say. What the shared cache had came to nothing."""
    if total is None:
        return None
    prompt, completion = total.prompt_tokens, total.completion_tokens
    if prompt is None or completion is None:
        return None if total.without_usage else Used(total.requests, total.from_network, 0, 0, 0)
    cost = None if total.cost is None or total.cost_unknown else to_pico(total.cost)
    return Used(total.requests, total.from_network, prompt, completion, cost)
