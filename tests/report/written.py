"""A run folder written by hand: every file that a finished run of two rounds has, but for its students.

`said` is put wherever a model, a teacher, a recipe or a path puts a text that the report shows.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.teacher.asking import LEGS, ScriptedTeacher, request
from tutelage.evaluation.accuracy import accuracy
from tutelage.records import Attempt, Correction, Mistake, Question, StoredQuestion, Triplet
from tutelage.teacher.books.entries import Begun, Charge, Ended
from tutelage.teacher.books.ledger import Ledger
from tutelage.teacher.books.prices import PICO
from tutelage.teacher.protocol import Call, Outcome, Sample, Usage, sample_keys
from tutelage.workspace import Workspace, write_json, write_records, write_text

TRAIN, HELD_OUT, TEST = 6, 8, 30
RIGHT = {0: 2, 1: 12, 2: 21}
"""Of the test questions, by round; the first ones."""
STAGES = ("exam", "mistakes", "feedback", "lesson", "study", "evaluation")
_SHARED: dict[str, Any] = {"count": 1, "share": 1 / TEST}


def write_run(folder: Path, said: str = "plain", rounds: int = 2, steps: int = 4) -> Path:
    """The folder, which is made. steps: of each study."""
    workspace = Workspace(folder)
    folder.mkdir(parents=True)
    write_text(
        workspace.recipe,
        f"seed = 3\n[task]\nname = {json.dumps(said)}\n[student]\nmodel = {json.dumps(said)}\n"
        f'[teacher]\nkind = "openai"\nmodel = {json.dumps(said)}\n'
        '[study]\nlambda = 0.5\nlearning_rate = 0.002\nlater_learning_rate = 0.0005\nschedule = "linear"\n',
    )
    write_json(workspace.environment, {"tutelage": "0.1", "cpu": said, "packages": {said: said}, "gpus": []})
    for path in (workspace.split, workspace.demonstrations):
        write_json(path, {"student": []})
    names = ("same_ngram", "most_ngrams", "same_but_for_numbers", "same_question")
    source = {"texts": 4, **dict.fromkeys(names, _SHARED), "worst": []}
    write_json(workspace.leakage, {"ngram": 8, "most": 0.7, "test_questions": TEST, "sources": {said: source}})
    asked = {split: _questions(split, count, said) for split, count in _SPLITS}
    write_records(workspace.questions, [StoredQuestion(split, one) for split, some in asked.items() for one in some])
    for number in range(rounds + 1):
        _write_round(workspace, number, asked, said, steps)
    _write_ledger(workspace.ledger, rounds)
    test = json.loads(workspace.round(rounds).evaluation.read_text())
    write_json(
        workspace.outcome,
        {"best_round": rounds, "last_round": rounds, "reason": f"limit: {said}", "test": test},
    )
    return folder


_SPLITS: tuple[tuple[Any, int], ...] = (("train", TRAIN), ("held-out", HELD_OUT), ("test", TEST))


def _questions(split: str, count: int, said: str) -> list[Question]:
    return [Question(f"{split}/{place}", f"What is {place}? {said}", str(place), "number") for place in range(count)]


def _attempt(question: Question, right: bool, said: str, sample: int = 0) -> Attempt:
    answer = question.answer if right else "999"
    return Attempt(question.id, sample, f"{said}\nAnswer: {answer}", said, answer, right, 9, True)


def _write_round(workspace: Workspace, number: int, asked: dict[Any, list[Question]], said: str, steps: int) -> None:
    place = workspace.round(number)
    place.folder.mkdir()
    test = [_attempt(one, at < RIGHT[number], said) for at, one in enumerate(asked["test"])]
    held_out = [_attempt(one, at < number + 1, said) for at, one in enumerate(asked["held-out"])]
    write_records(place.answers, [*test, *held_out])
    write_json(place.evaluation, {**_score(test), "unreadable": 0, "split": "test", "held_out": _score(held_out)})
    for stage in STAGES if number else ("evaluation",):
        workspace.note("begin", round=number, stage=stage, ranks=1)
        workspace.note("end", round=number, stage=stage, seconds=1.25 + number)
    if not number:
        return
    train = asked["train"]
    write_records(
        place.exam, [_attempt(one, at > number, said, sample) for at, one in enumerate(train) for sample in (0, 1)]
    )
    made = [Mistake(one.id, said, "999") for one in train[: number + 1]]
    write_records(place.mistakes, made)
    shown = [None if number == 1 else one for one in made]
    write_records(
        place.feedback,
        [
            Correction(one.question_id, number, said, mistake, said, said, "1", "kept")
            for one, mistake in zip(made, shown, strict=True)
        ],
    )
    write_records(place.lesson, [Triplet(one.question_id, said, None, one) for one in made])
    write_text(place.training, "".join(json.dumps(_step(step, number)) + "\n" for step in range(1, steps + 1)))
    write_json(place.summary, _summary(number, len(made), said, steps))


def _score(attempts: list[Attempt]) -> dict[str, Any]:
    score = accuracy(attempts)
    return {
        "accuracy": score.accuracy,
        "correct": score.correct,
        "total": score.total,
        "interval": list(score.interval),
    }


def _step(step: int, number: int) -> dict[str, Any]:
    return {
        "step": step,
        "epoch": 1,
        "loss": 2 / step,
        "lm_loss": 1.5 / step,
        "triplet_loss": 1 / (step + number),
        "gradient_norm": 0.3,
        "learning_rate": 0.001,
        "samples": 2,
        "triplets": 2,
        "tokens": 40,
    }


def _summary(number: int, mistakes: int, said: str, steps: int) -> dict[str, Any]:
    exam = {"questions": TRAIN, "attempts": 2 * TRAIN, "error_rate": (number + 1) / TRAIN, "unreadable": 0}
    feedback = {"requests": mistakes, "successes": mistakes, "replies": mistakes + 1, "rationales": mistakes}
    spent = {"prompt_tokens": 7000 * number, "completion_tokens": 300, "cost": "0.25"}
    return {
        "round": number,
        "teacher": said,
        "exam": {**exam, "questions_with_mistake": mistakes, "mistakes": mistakes},
        "feedback": {**feedback, "tailored": 0, "verdicts": {"kept": mistakes - 1, said: 1}, **spent},
        "lesson": {"samples": mistakes, "questions": mistakes, "triplets": 0},
        "study": {"steps": steps, "epochs": 1, "tokens": 80, "lm_loss": 0.6980736, "triplet_loss": None},
    }


def _write_ledger(path: Path, rounds: int) -> None:
    """One answered call a round: 7,000 + 300 tokens for a quarter of the prices' money."""
    teacher = ScriptedTeacher()
    with Ledger(path) as ledger:
        for round_number in range(1, rounds + 1):
            one, number = request(LEGS, number=round_number), ledger.number()
            outcome = Outcome({0: Sample("text", "a"), 1: Sample("text", "b")}, Usage(7000, 300))
            begun = Begun(number, teacher, Call(one, (0, 1), 100, 50), "direct", Charge(9000, PICO))
            charge = Charge(7300, PICO // 4)
            ledger.write([begun, Ended(number, sample_keys(teacher, one), outcome, PICO // 4, charge)])
