"""Algorithm 1: exam, mistakes, feedback, lesson, study, evaluation, and again until a plateau."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tutelage.config import Recipe
from tutelage.distributed import world_size
from tutelage.errors import DataError, WorkspaceError
from tutelage.records import Correction
from tutelage.rounds.cast import build_spending, build_teacher
from tutelage.rounds.evaluate import evaluate
from tutelage.rounds.exam import exam, mistakes
from tutelage.rounds.feedback import count_verdicts, feedback
from tutelage.rounds.lesson import lesson
from tutelage.rounds.plateau import Decision, decide
from tutelage.rounds.run import Run, open_run, start_run
from tutelage.rounds.students import studies_in_shards
from tutelage.rounds.study import study
from tutelage.rounds.summary import summarize
from tutelage.rounds.tracking import check_trackers, tracked
from tutelage.student.text.prompting import write_template
from tutelage.workspace import KEYS, PARTIAL, link_tree, read_json, remove, write_atomically, write_json

Result = TypeVar("Result")
OnRound = Callable[[Run, int], None]


def learn(recipe: Recipe, folder: Path, on_round: OnRound | None = None) -> Run:
    """A whole run in a new folder. on_round: called after each round, round 0 included.

    Raises: TutelageError; what was finished stays in the folder, and `resume` goes on.
    """
    # A missing key, file or price shows now, and not after hours of exam.
    for number in (1, 2):
        build_teacher(recipe.for_round(number))
    build_spending(recipe)
    check_trackers(recipe)
    return _released_if_it_fails(start_run(recipe, folder), on_round)


def resume(folder: Path, overrides: Sequence[str] = (), on_round: OnRound | None = None) -> Run:
    """Goes on with a run: stages that are done are skipped, the one that was cut short goes on inside.

    Raises: WorkspaceError if a comparison plays it in another way than by lessons; as `learn`.
    """
    _check_method(folder)
    return _released_if_it_fails(open_run(folder, overrides), on_round)


def _check_method(folder: Path) -> None:
    path = folder / KEYS
    if path.is_file() and (method := read_json(path)["method"]) != "distillation":
        raise WorkspaceError(
            f"{folder} is a run of a comparison, by the method {method!r}, and to resume it would give it tailored "
            "lessons. The same call of `tutelage compare` goes on with it."
        )


def _released_if_it_fails(run: Run, on_round: OnRound | None) -> Run:
    # Whoever catches the error may want to resume in the same process, where the lock lives as long as its traceback.
    try:
        with tracked(run) as tell_trackers:

            def tell(run: Run, number: int) -> None:
                tell_trackers()
                if on_round is not None:
                    on_round(run, number)

            return go_on(run, tell)
    except BaseException as error:
        run.status.end(error=error)
        run.workspace.release()
        raise


def go_on(run: Run, on_round: OnRound | None = None) -> Run:
    """Rounds until the plateau or the limit; then the best round's student lies in RUN/student."""
    studies_in_shards(run.recipe)  # what it cannot do shows now, and not after an exam
    tell = on_round or (lambda _run, _number: None)
    number = 0
    if not run.round(0).evaluation.is_file():
        timed(run, 0, "evaluation", lambda: evaluate(run, 0))
        tell(run, 0)
    decision = decision_after(run, 0)
    while decision.reason is None:
        number += 1
        finished_before = run.round(number).summary.is_file()
        decision = play_round(run, number)
        if run.recipe.rounds.keep == "needed":
            delete_students(run, number, decision.best)
        if run.round(number).summary.is_file() and not finished_before:
            tell(run, number)
    hand_over(run, decision, number)
    run.status.end()
    return run


def play_round(run: Run, number: int) -> Decision:
    """One round, stage by stage; what is done already is skipped.

    Raises: DataError if the teacher had nothing to teach in round 1; later that ends the run.
    """
    if run.round(number).summary.is_file():
        return decision_after(run, number)
    timed(run, number, "exam", lambda: exam(run, number))
    timed(run, number, "mistakes", lambda: mistakes(run, number))
    corrections = timed(run, number, "feedback", lambda: feedback(run, number))
    if not timed(run, number, "lesson", lambda: lesson(run, number)):
        if number == 1:
            raise nothing_to_teach(run, corrections)
        return Decision(decision_after(run, number - 1).best, f"no lesson: round {number} brought no right rationale")
    timed(run, number, "study", lambda: study(run, number))
    timed(run, number, "evaluation", lambda: evaluate(run, number))
    write_json(run.round(number).summary, summarize(run, number))
    return decision_after(run, number)


def nothing_to_teach(run: Run, corrections: Sequence[Correction]) -> DataError:
    """What to raise where the first round's corrections make no lesson."""
    return DataError(
        f"The teacher gave no right rationale for any of {len(corrections)} replies "
        f"({count_verdicts(corrections)}); see {run.round(1).feedback}. Try another teacher or task."
    )


def decision_after(run: Run, number: int) -> Decision:
    """The decision on the held-out scores of round 0 up to a round."""
    if not run.questions["held-out"]:  # nothing to find a plateau by: the last round is as good a guess as any
        limit = run.recipe.rounds.limit
        return Decision(number, f"limit: {limit} rounds, and no question is held out" if number >= limit else None)
    scores = [float(evaluate(run, earlier)["held_out"]["accuracy"]) for earlier in range(number + 1)]
    return decide(scores, run.recipe.rounds)


def delete_students(run: Run, last: int, best: int) -> None:
    """Deletes the students up to a round that nothing reads any more: all but round 0's, the best and the latest."""
    latest = max(number for number in range(last + 1) if run.round(number).student.is_dir())
    for number in range(1, last):
        if number in (best, latest):
            continue
        student = run.round(number).student
        aside = student.with_name(student.name + PARTIAL)  # half a student would be taken for one
        if student.is_dir():
            student.replace(aside)
        remove(aside)


def timed(run: Run, number: int, stage: str, work: Callable[[], Result]) -> Result:
    """Does a stage and notes its seconds in the journal."""
    with run.around_stage(number, stage):
        began = time.monotonic()
        run.workspace.note("begin", round=number, stage=stage, ranks=world_size())
        with run.status.during(number, stage):
            result = work()
        run.workspace.note("end", round=number, stage=stage, seconds=round(time.monotonic() - began, 3))
    return result


def hand_over(run: Run, decision: Decision, last: int) -> None:
    """Puts the best round's student at RUN/student and says in outcome.json why the run ended."""
    outcome: dict[str, Any] = {
        "best_round": decision.best,
        "last_round": last,
        "reason": decision.reason,
        "stopped_by": "held-out part of the training split",
        "held_out_questions": len(run.questions["held-out"]),
        "test": {key: evaluate(run, decision.best)[key] for key in ("accuracy", "correct", "total", "interval")},
    }
    workspace = run.workspace
    if workspace.outcome.is_file() and workspace.student.is_dir() and read_json(workspace.outcome) == outcome:
        return
    write_atomically(workspace.student, lambda partial: _hand_over_student(run, decision.best, partial))
    write_json(workspace.outcome, outcome)


def _hand_over_student(run: Run, number: int, folder: Path) -> None:
    """A round's student, with the run's own prompt as its chat template: a chat server then asks it as the run does."""
    link_tree(run.round(number).student, folder)
    write_template(folder, run.recipe.prompt, run.demonstrations)
