"""What of the test's questions stands in what a run begins with, and in what a round sends and studies."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tutelage.evaluation.leakage import MOST, NGRAM, QuestionIndex, overlap_text, question_overlaps
from tutelage.progress import say
from tutelage.prompts import STOP
from tutelage.records import Demonstration, Question, SplitName, Triplet
from tutelage.teacher.books.ledger import Ledger
from tutelage.workspace import Workspace, write_json


def write_question_leakage(
    workspace: Workspace,
    questions: Mapping[SplitName, Sequence[Question]],
    demonstrations: Sequence[Demonstration],
    feedback_demonstrations: Sequence[Demonstration],
) -> None:
    """Writes leakage.json: the test's questions in those to train on, those held out and the demonstrations."""
    overlaps = question_overlaps(questions, demonstrations, feedback_demonstrations)
    tested = len(questions["test"])
    sources = {name: asdict(overlap) for name, overlap in overlaps.items()}
    write_json(workspace.leakage, {"ngram": NGRAM, "most": MOST, "test_questions": tested, "sources": sources})
    if told := overlap_text(overlaps, tested):
        say(f"{told}; {workspace.leakage.name} names the worst.")


def round_leakage(
    ledger: Ledger, number: int, triplets: Sequence[Triplet], test: Sequence[Question]
) -> dict[str, dict[str, Any]]:
    """The test's questions in a round's prompts to the teacher and in its lesson, as round.json holds them.

    teacher_prompts: as they were sent or looked up, part by part; none of a teacher that reads the records itself. A
    judge is shown test questions on purpose, and nothing of its replies is studied: it is not meant.
    lesson: its rationales, right and wrong ones, and its questions with other numbers.
    """
    tested = QuestionIndex(test)
    overlaps = {
        "teacher_prompts": tested.look(_prompt_parts(ledger, number)),
        "lesson": tested.look(_lesson_texts(triplets)),
    }
    if told := overlap_text(overlaps, len(test)):
        say(f"{told}; round.json of round {number} names the worst.")
    return {name: asdict(overlap) for name, overlap in overlaps.items()}


def _prompt_parts(ledger: Ledger, number: int) -> Iterator[tuple[str, str]]:
    """The different parts of a round's prompts, each with the first question it was sent about.

    A part is a message, or a question with all that belongs to it: the demonstrations are the same in each prompt.
    """
    seen = set()
    for question, stored in ledger.rows(
        "SELECT min(calls.question), prompts.prompt FROM calls JOIN prompts ON prompts.id = calls.prompt "
        "WHERE calls.round = ? AND calls.kind = 'feedback' GROUP BY prompts.id ORDER BY min(calls.id)",
        (number,),
    ):
        prompt = json.loads(stored)
        parts = prompt.split(STOP[0]) if isinstance(prompt, str) else [message["content"] for message in prompt]
        for part in parts:
            if part not in seen:
                seen.add(part)
                yield question, part


def _lesson_texts(triplets: Sequence[Triplet]) -> Iterator[tuple[str, str]]:
    for triplet in triplets:
        yield triplet.question_id, triplet.anchor
        if triplet.variant is not None:
            yield triplet.question_id, triplet.variant.text
        if triplet.negative is not None:
            yield triplet.question_id, triplet.negative.rationale
