"""Ask a run's student a question of one's own."""

from __future__ import annotations

from pathlib import Path

from tutelage.records import AnswerKind, Attempt, Question
from tutelage.rounds.answering import grade, prompts_for
from tutelage.rounds.run import Run, open_run
from tutelage.rounds.students import chosen_student, load_whole
from tutelage.student.answering.answerer import greedy_batch


def ask(folder: Path, text: str, choices: tuple[str, ...] = (), number: int | None = None) -> Attempt:
    """The student's greedy answer, prompted as in its evaluation. `correct` means nothing here.

    folder: the run. number: a round's student, 0 the untrained one; None: the best round's.
    Raises: WorkspaceError if there is no such student yet. A run that is going on can be asked, too.
    """
    run = open_run(folder, lock=False)
    student = load_whole(run.workspace, run.recipe, *chosen_student(run.workspace, number))
    question = Question("asked", text, "", _kind(run), choices)
    [completion] = greedy_batch(student, prompts_for(run, student, [question]), run.recipe.evaluation.max_new_tokens)
    return grade(question, 0, completion)


def _kind(run: Run) -> AnswerKind:
    return next(question.kind for questions in run.questions.values() for question in questions)
