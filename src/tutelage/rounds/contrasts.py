"""Pairs of a right and a wrong solution of one question, from a run's files, for Table 4 and Fig. 4."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal

from tutelage.errors import DataError
from tutelage.evaluation.picking import RULE, pick
from tutelage.evaluation.representation import Contrast, Readings, read_contrasts, save_states, separation
from tutelage.records import Attempt, Mistake, SplitName, Triplet
from tutelage.rounds.answering import prompts_for
from tutelage.rounds.lesson import lesson
from tutelage.rounds.run import Run
from tutelage.rounds.study import encode_lesson
from tutelage.student.answering.prompts import encode_prompts
from tutelage.student.model.student import Student
from tutelage.student.text.encoding import Sample
from tutelage.workspace import read_records, write_json, write_records


def lesson_pairs(run: Run, number: int) -> list[Triplet]:
    """Of training questions: each rationale that a round's lesson keeps, with the mistake that stands beside it.

    The student of this round was trained on them, and so were later ones that go on from it; those of rounds before
    were not.
    """
    return [triplet for triplet in lesson(run, number) if triplet.negative is not None]


def unseen_pairs(
    run: Run, split: Literal["held-out", "test"], rounds: Sequence[int] = (0,), others: Sequence[Attempt] = ()
) -> list[Triplet]:
    """Of questions that no student was trained on: the right solution with each wrong one of the given evaluations.

    The right one is the question's own worked solution; where it has none, the right answers of the same evaluations
    and those among `others`, in an order that says nothing about who wrote them.
    The default takes the untrained student's mistakes, which runs with the same student and questions share.
    """
    answers = [attempt for number in rounds for attempt in read_records(run.round(number).answers, Attempt)]
    pairs = []
    for question in run.questions[split]:
        own = [attempt for attempt in answers if attempt.question_id == question.id]
        told = {one.rationale for one in (*own, *others) if one.question_id == question.id and one.correct}
        right = sorted(told, key=lambda rationale: hashlib.sha256(rationale.encode()).digest())
        wrong = [Mistake(question.id, attempt.rationale, attempt.answer) for attempt in own if not attempt.correct]
        if question.rationale:
            right = [question.rationale]
        pairs += [Triplet(question.id, one, None, other) for one in right for other in dict.fromkeys(wrong)]
    return pairs


def pick_pairs(pairs: Sequence[Triplet], count: int) -> list[Triplet]:
    """One pair of each of so many questions, by the rule of `picking`: pairs of one question tell much the same."""
    first: dict[str, Triplet] = {}
    for pair in pairs:
        first.setdefault(pair.question_id, pair)
    return pick(first.values(), count, lambda pair: pair.question_id)


def contrasts(run: Run, student: Student, pairs: Sequence[Triplet], split: SplitName = "train") -> list[Contrast]:
    """The pairs as tokens, as study would encode them; those too long for the student are left out.

    split: whose questions they are. Raises: DataError if none is left.
    """
    asked = {question.id: question for question in run.questions[split]}
    encoded = [sample for sample in encode_lesson(run, student, pairs, split) if sample.negative is not None]
    prompts = prompts_for(run, student, [asked[sample.question_id] for sample in encoded])
    return [
        Contrast(
            sample.question_id,
            sample.anchor,
            sample.negative,
            min(_start(student, prompt, sample.anchor), _start(student, prompt, sample.negative)),
        )
        for sample, prompt in zip(encoded, encode_prompts(student, prompts), strict=True)
        if sample.negative is not None
    ]


def _start(student: Student, prompt: Sequence[int], sample: Sample) -> int:
    """The place of a sample's solution: where its tokens and the prompt's part."""
    if sample.source_ids:
        return len(student.decoder_start)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(prompt, sample.token_ids, strict=False)))


def represent(
    run: Run, number: int, pairs: Sequence[Triplet], folder: Path, split: SplitName = "train"
) -> tuple[Readings, dict[str, Any]]:
    """Reads pairs with a round's student; the readings, and Table 4's numbers as representation.json has them.

    Writes pairs.jsonl (every reading), states.safetensors and representation.json into `folder`.
    pairs: of this run or of one with the same questions; to compare students give the same to each.
    Raises: DataError if there are none.
    """
    if not pairs:
        raise DataError(
            f"No question of the {split} split has a right and a wrong solution in the files of {run.workspace.folder}."
        )
    student = run.student(number)
    readings = read_contrasts(student, contrasts(run, student, pairs, split))
    result = {"round": number, "split": split, "picked": RULE, **asdict(separation(readings, run.recipe.seed))}
    write_records(folder / "pairs.jsonl", readings.pairs)
    save_states(folder / "states.safetensors", readings)
    write_json(folder / "representation.json", result)
    return readings, result
