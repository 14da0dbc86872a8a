"""The commands that do a single stage of a round: exam, feedback, study, evaluate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tutelage.cli.common import Data, Out, Overrides, RoundOption, TargetArgument, quiet, read, show
from tutelage.cli.ranks import Gpus, done_on_ranks
from tutelage.cli.teacher import TeacherOption, measured_teacher
from tutelage.errors import RecipeError


def exam(
    target: TargetArgument,
    overrides: Overrides = None,
    out: Out = None,
    data: Data = None,
    number: RoundOption = None,
    gpus: Gpus = None,
) -> None:
    """One stage: the student tries every training question; prints its error rate."""
    from tutelage.rounds import exam as sit
    from tutelage.rounds import mistakes

    given = _Given(target, overrides, out, data, number)
    if given.done_on_ranks(gpus):
        return
    run, number = given.open(lambda place: place.mistakes)
    with run.status.during(number, "exam"):
        attempts = sit(run, number)
    wrong = sum(not attempt.correct for attempt in attempts)
    found = mistakes(run, number)
    show(
        f"Round {number}: {wrong} of {len(attempts)} attempts wrong ({wrong / len(attempts):.1%}), "
        f"{len(found)} mistakes kept. See {run.round(number).exam}."
    )


def feedback(
    target: TargetArgument,
    overrides: Overrides = None,
    out: Out = None,
    data: Data = None,
    number: RoundOption = None,
) -> None:
    """One stage: the teacher corrects a round's mistakes; prints what became of its replies."""
    from tutelage.rounds import feedback as correct
    from tutelage.rounds.feedback import count_verdicts

    run, number = _Given(target, overrides, out, data, number).open(lambda place: place.feedback)
    with run.status.during(number, "feedback"):
        verdicts = count_verdicts(correct(run, number))
    listed = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items()) or "none"
    show(f"Round {number}: replies: {listed}. See {run.round(number).feedback}.")


def study(
    target: TargetArgument,
    overrides: Overrides = None,
    out: Out = None,
    data: Data = None,
    number: RoundOption = None,
    gpus: Gpus = None,
) -> None:
    """One stage: the student trains on a round's lesson."""
    from tutelage.rounds import study as train

    given = _Given(target, overrides, out, data, number)
    if given.done_on_ranks(gpus):
        return
    run, number = given.open(studied)
    with run.status.during(number, "study"):
        train(run, number)
    show(f"Round {number}: the student is in {run.round(number).student}.")


def studied(place: Any) -> Path:
    """What is there when a round has been studied; its student may have been deleted since (rounds.keep)."""
    return Path(place.summary if place.summary.is_file() else place.student)


def evaluate(
    target: TargetArgument,
    overrides: Overrides = None,
    out: Out = None,
    data: Data = None,
    number: RoundOption = None,
    gpus: Gpus = None,
    teacher: TeacherOption = False,
) -> None:
    """One stage: greedy accuracy on the test split and the held-out part; round 0 is the untrained student."""
    from tutelage.report.terminal import score_text
    from tutelage.rounds import evaluate as score

    if teacher:
        show(measured_teacher(target, overrides or [], alone=(data, out, number, gpus) == (None,) * 4))
        return
    given = _Given(target, overrides, out, data, number)
    if given.done_on_ranks(gpus):
        return
    run, number = given.open(lambda place: place.evaluation, first=0)
    with run.status.during(number, "evaluation"):
        result = score(run, number)
    show(f"Round {number}: test {score_text(result)}, held out {score_text(result['held_out'])}.")


@dataclass(frozen=True, slots=True)
class _Given:
    """What every stage's command is given, as it stands on the command line."""

    target: Path
    overrides: list[str] | None
    out: Path | None
    data: Path | None
    number: int | None

    def done_on_ranks(self, gpus: int | None) -> bool:
        """As `ranks.done_on_ranks`."""
        return done_on_ranks(gpus, self.target, self.overrides, self.data)

    def open(self, file: Callable[[Any], Path], first: int = 1) -> tuple[Any, int]:
        """The run that the stage works on, and the round: the first one, from `first` on, whose file is not there."""
        quiet()
        run = self._run()
        if self.number is not None:
            return run, self.number
        number = first
        while file(run.round(number)).exists():
            number += 1
        return run, number

    def _run(self) -> Any:
        from tutelage.rounds.run import open_run, start_run

        if self.target.is_dir():
            if self.data is not None or self.out is not None:
                raise RecipeError(
                    f"{self.target} is a run folder, which has its data and its place: leave out --data and --out."
                )
            return open_run(self.target, self.overrides or [])
        recipe = read(self.target, self.overrides or [], self.data)
        run = start_run(recipe, self.out or Path("runs") / self.target.stem)
        show(f"The run folder is {run.workspace.folder}.")
        return run
