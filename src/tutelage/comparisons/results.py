"""What the runs of a comparison came to, read from their folders alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from tutelage.baselines import METHODS
from tutelage.baselines.teacher import METHOD, score_path
from tutelage.comparisons.shared.taking import Taken, stage_seconds, taken_stages
from tutelage.evaluation.accuracy import accuracy
from tutelage.evaluation.calculator import calculated_answer, exact_results
from tutelage.recipes import read_recipe
from tutelage.records import Attempt, Correction, Question, Score, SplitName, StoredQuestion, Triplet
from tutelage.rounds.study import read_training
from tutelage.student.training.loop import Step
from tutelage.tasks.answers import is_right
from tutelage.teacher.books.accounts import Totals, totals
from tutelage.teacher.books.ledger import Ledger
from tutelage.workspace import Round, Workspace, read_json, read_records

TEACHER = METHOD.name


@dataclass(frozen=True, slots=True)
class RoundResult:
    """One round; None where there is no such thing in it.

    test, held_out: scores of its student. error_rate: of the exam that it began with, a fraction of 1. requests,
    successes: questions the teacher was asked, and those with a rationale kept. samples: of the lesson.
    lm_loss, triplet_loss: means over the last tenth of the steps.
    """

    number: int
    test: Score | None
    held_out: Score | None
    error_rate: float | None
    requests: int | None
    successes: int | None
    samples: int | None
    steps: int
    lm_loss: float | None
    triplet_loss: float | None


@dataclass(frozen=True, slots=True)
class TeacherUse:
    """What a run asked of its teacher, whoever asked it first. cost: in the prices' money. None: nobody says.

    calls: HTTP requests, or what took their place. from_cache: replies that another run of the cache had paid.
    """

    requests: int = 0
    replies: int = 0
    calls: int = 0
    from_cache: int = 0
    tokens: int | None = None
    cost: Decimal | None = None


@dataclass(frozen=True, slots=True)
class RunResult:
    """One run. score: of the student that it kept (of round `kept`), or of the teacher; None with the reason in `note`.

    steps: optimizer steps of all rounds; kept_steps: of those that led to the student it kept. seconds: of all its
    stages, those taken over from other runs included, as if it had done them itself. begins_anew: whether each round
    trained the untrained student.
    """

    row: str
    column: str
    seed: int
    method: str
    folder: Path
    kept: int | None
    score: Score | None
    note: str
    rounds: tuple[RoundResult, ...]
    steps: int
    kept_steps: int
    teacher: TeacherUse
    seconds: float
    taken: tuple[Taken, ...]
    begins_anew: bool = False

    @property
    def last_steps(self) -> int:
        """Optimizer steps that led to the last round's student."""
        return sum(_leading(self.rounds, self.begins_anew))

    def round(self, number: int) -> RoundResult | None:
        """One of its rounds, if it came to that."""
        return next((one for one in self.rounds if one.number == number), None)

    def right(self, number: int | None = None, split: SplitName = "test") -> Mapping[str, bool] | None:
        """Which questions of a split were answered rightly after a round; None: by the student it kept, or the teacher.

        The teacher is asked the test questions alone.
        """
        path = self._answers(number)
        return right_answers(path, self.folder, split) if path.is_file() else None

    def calculated(self) -> Score | None:
        """The test score if the equations of each rationale were worked out exactly; None where there are none."""
        path = self._answers()
        return calculated_score(path, self.folder) if path.is_file() else None

    def _answers(self, number: int | None = None) -> Path:
        if self.method == TEACHER:
            return score_path(self.folder).with_suffix(".jsonl")
        return Workspace(self.folder).round(self.kept or 0 if number is None else number).answers


def read_result(folder: Path, row: str, column: str, seed: int, method: str) -> RunResult:
    """The result of a finished run. Raises: WorkspaceError if it is damaged."""
    workspace = Workspace(folder)
    rounds = tuple(_rounds(workspace))
    kept, score, note = _outcome(workspace, method)
    begins_anew = METHODS[method].begins_anew(read_recipe(workspace.recipe))
    path = [one for one in rounds if kept is None or one.number <= kept]
    return RunResult(
        row,
        column,
        seed,
        method,
        folder,
        kept,
        score,
        note,
        rounds,
        sum(one.steps for one in rounds),
        sum(_leading(path, begins_anew)),
        _teacher_use(workspace, METHODS[method].asks),
        round(sum(stage_seconds(workspace.journal).values()), 1),
        tuple(taken_stages(workspace.journal)),
        begins_anew,
    )


def _leading(rounds: Sequence[RoundResult], begins_anew: bool) -> list[int]:
    """The steps of each study that led to the student of the last of these rounds."""
    studied = [one.steps for one in rounds if one.steps]
    return studied[-1:] if begins_anew else studied


def is_finished(folder: Path, method: str) -> bool:
    """Whether a run's method has been played to its end."""
    return (score_path(folder) if method == TEACHER else Workspace(folder).outcome).is_file()


def _outcome(workspace: Workspace, method: str) -> tuple[int | None, Score | None, str]:
    path = score_path(workspace.folder)
    if method == TEACHER:  # a student's run may have one, too: `tutelage evaluate --teacher`
        found = read_json(path)
        if found["accuracy"] is None:
            return None, None, str(found["reason"])
        return None, _score(found), f"{found['unanswered']} unanswered" if found["unanswered"] else ""
    outcome = read_json(workspace.outcome)
    return int(outcome["best_round"]), _score(outcome["test"]), ""


def _score(found: Mapping[str, Any]) -> Score:
    low, high = found["interval"]
    return Score(found["accuracy"], found["correct"], found["total"], (low, high))


def _rounds(workspace: Workspace) -> list[RoundResult]:
    return [_round(workspace.round(number), number) for number in _numbers(workspace)]


def _numbers(workspace: Workspace) -> list[int]:
    return sorted(int(folder.name.removeprefix("round-")) for folder in workspace.folder.glob("round-*"))


def _round(place: Round, number: int) -> RoundResult:
    """By the round's files; where exam, replies or lesson were not brought along, by what its summary says of them."""
    scores = read_json(place.evaluation) if place.evaluation.is_file() else None
    steps = read_training(place.training) if place.training.is_file() else []
    told = _summary(place)
    error_rate, requests = _told(told, "exam", "error_rate"), _told(told, "feedback", "requests")
    helped, samples = _told(told, "feedback", "successes"), _told(told, "lesson", "samples")
    if place.exam.is_file():
        attempts = read_records(place.exam, Attempt)
        error_rate = sum(not attempt.correct for attempt in attempts) / len(attempts) if attempts else None
    if place.feedback.is_file():
        corrections = read_records(place.feedback, Correction)
        requests, helped = len({one.question_id for one in corrections}), len(successes(corrections))
    if place.lesson.is_file():
        samples = len(read_records(place.lesson, Triplet))
    lm_loss, triplet_loss = final_losses(steps)
    return RoundResult(
        number,
        None if scores is None else _score(scores),
        None if scores is None else _score(scores["held_out"]),
        error_rate,
        requests,
        helped,
        samples,
        len(steps),
        lm_loss,
        triplet_loss,
    )


def _summary(place: Round) -> Mapping[str, Any]:
    return dict(read_json(place.summary)) if place.summary.is_file() else {}


def _told(summary: Mapping[str, Any], stage: str, what: str) -> Any:
    found = summary.get(stage)
    return None if found is None else found.get(what)


def successes(corrections: Sequence[Correction]) -> set[str]:
    """The questions from whose request a rationale was kept (Table 3)."""
    return {one.question_id for one in corrections if one.verdict == "kept"}


def final_losses(steps: Sequence[Step]) -> tuple[float | None, float | None]:
    """Both losses at the end of a study: means over the last tenth of its steps, one at least."""
    last = steps[-max(1, len(steps) // 10) :]
    triplets = [step.triplet_loss for step in last if step.triplets]
    return _mean([step.lm_loss for step in last]), _mean(triplets)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _teacher_use(workspace: Workspace, asks: bool) -> TeacherUse:
    """By the run's ledger; where that was not brought along, by the replies in its rounds, or by what their summaries
    say of them. asks: whether it has any."""
    if not workspace.ledger.is_file():
        rounds = [workspace.round(number) for number in _numbers(workspace)] if asks else []
        uses = [_replies(place) for place in rounds]
        return TeacherUse(sum(requests for requests, _ in uses), sum(replies for _, replies in uses))
    with Ledger(workspace.ledger) as ledger:
        used = list(totals(ledger).values())
    return TeacherUse(
        sum(one.requests for one in used),
        sum(one.samples for one in used),
        sum(one.calls for one in used),
        sum(one.from_cache for one in used),
        _tokens(used),
        sum(costs, Decimal(0)) if (costs := [one.cost for one in used if one.cost is not None]) else None,
    )


def _replies(place: Round) -> tuple[int, int]:
    """A round's requests and replies."""
    if place.feedback.is_file():
        made = read_records(place.feedback, Correction)
        return len({one.question_id for one in made}), len(made)
    told = _summary(place)
    return _told(told, "feedback", "requests") or 0, _told(told, "feedback", "replies") or 0


def _tokens(used: Sequence[Totals]) -> int | None:
    told = [count for one in used for count in (one.prompt_tokens, one.completion_tokens) if count is not None]
    return sum(told) if told else None


@cache
def calculated_score(path: Path, folder: Path) -> Score | None:
    """As `RunResult.calculated`, of a file of attempts."""
    questions = _asked(folder, "test")
    attempts = [one for one in read_records(path, Attempt) if one.question_id in questions]
    if not any(exact_results(attempt.rationale) for attempt in attempts):
        return None
    graded = []
    for attempt in attempts:
        answer = calculated_answer(attempt.rationale, attempt.answer)
        graded.append(replace(attempt, correct=is_right(answer, questions[attempt.question_id])))
    return accuracy(graded)


@cache
def right_answers(path: Path, folder: Path, split: SplitName = "test") -> Mapping[str, bool]:
    """Whether each question of a run's split is answered rightly in a file of attempts."""
    asked = _asked(folder, split)
    return {one.question_id: one.correct for one in read_records(path, Attempt) if one.question_id in asked}


@cache
def _asked(folder: Path, split: SplitName) -> Mapping[str, Question]:
    stored = read_records(Workspace(folder).questions, StoredQuestion)
    return {one.question.id: one.question for one in stored if one.split == split}
