"""A question's course as the page tells it: a plain dictionary, with the first wrong step of each wrong attempt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tutelage.evaluation.steps import check_arithmetic
from tutelage.records import Attempt, Correction, Mistake, Triplet, Verdict
from tutelage.report.gathering.courses import Course
from tutelage.report.gathering.prompts import Prompts

Story = dict[str, Any]

SHORT = 400
"""Characters of a question's text that the table has; a story has the whole of a longer one."""

VERDICTS: Mapping[Verdict, str] = {
    "kept": "Right, and studied.",
    "wrong answer": "Dropped: its answer is not the gold answer.",
    "no answer": "Dropped: no answer could be read from it.",
    "cut off": "Dropped: the limit on new tokens cut it off before its answer.",
    "no reasoning": "Dropped: it gives the answer without a rationale.",
    "tells of the prompt": "Dropped: it speaks of the hint or of the student's mistake, which the student never sees.",
    "wrong step": "Dropped: an equation in it does not hold.",
    "unfounded": "Dropped: its answer does not come from the question's numbers by its equations.",
    "repeated": "Dropped: a rationale with the same words was kept already.",
    "too long": "Dropped: longer than the student may write in an exam or an evaluation.",
    "surplus": "Right, but enough rationales were kept already.",
    "failed": "The request failed; this is the reason.",
}
"""What each verdict on a teacher's reply means, for people."""


def tell(course: Course, prompts: Prompts) -> Story:
    """All of a question's course but what the table has already. answers: by the student's round, rounds: by round."""
    question = course.question
    numbers = sorted({*course.replies, *course.lesson})
    return {
        "id": question.id,
        "text": question.text if len(question.text) > SHORT else None,
        "choices": list(question.choices),
        "worked": question.rationale,
        "answers": {
            str(student): _answers(course.answers[student], _mistake(course.replies.get(student + 1, ())))
            for student in sorted(course.answers)
        },
        "rounds": {
            str(number): {
                "asked": number in course.replies,
                "shown": _shown(_mistake(course.replies.get(number, ()))),
                "prompt": prompts.by_request.get((question.id, number)),
                "replies": [_reply(reply) for reply in course.replies.get(number, ())],
                "lesson": _lesson(course.lesson.get(number, ())),
            }
            for number in numbers
        },
    }


def _answers(attempts: Sequence[Attempt], shown: Mistake | None) -> list[dict[str, Any]]:
    """Attempts with the same words and answer are one, with their number. One without an answer is told in full.

    shown: the mistake that the teacher was shown; the attempt that made it is marked.
    """
    told: dict[tuple[str, str | None, bool, bool], dict[str, Any]] = {}
    for attempt in attempts:
        text = attempt.rationale if attempt.answer is not None else attempt.text.strip()
        key = (text, attempt.answer, attempt.correct, attempt.finished)
        if key not in told:
            steps = {} if attempt.correct else _steps(text)
            told[key] = {
                "text": text,
                "answer": attempt.answer,
                "right": attempt.correct,
                "finished": attempt.finished,
                "times": 0,
                **steps,
            }
        told[key]["times"] += 1
        if shown is not None and (attempt.rationale, attempt.answer) == (shown.rationale, shown.answer):
            told[key]["shown"], shown = True, None
    return list(told.values())


def _steps(text: str) -> dict[str, Any]:
    """Of a wrong rationale: the text around its first equation that does not hold, and that equation's right value.

    "holds" where all of its equations do; nothing where there are none.
    """
    arithmetic = check_arithmetic(text)
    wrong = arithmetic.wrong
    if wrong is not None:
        parts = [text[: wrong.start], text[wrong.start : wrong.end], text[wrong.end :]]
        return {"wrong": parts, "value": wrong.right_value}
    return {"holds": True} if arithmetic.equations else {}


def _mistake(replies: Sequence[Correction]) -> Mistake | None:
    return replies[0].mistake if replies else None


def _shown(mistake: Mistake | None) -> dict[str, Any] | None:
    return None if mistake is None else {"text": mistake.rationale, "answer": mistake.answer}


def _reply(reply: Correction) -> dict[str, Any]:
    return {"verdict": reply.verdict, "text": reply.text, "answer": reply.answer}


def _lesson(triplets: Sequence[Triplet]) -> list[dict[str, Any]]:
    """Each rationale of the lesson once, with how often it is an anchor, a positive and a negative.

    own: whether the student wrote a right one itself. asked: the question with other numbers that it answers.
    """
    own = {triplet.anchor for triplet in triplets if triplet.own and triplet.variant is None}
    told: dict[tuple[str, str | None, bool], dict[str, Any]] = {}

    def add(role: str, text: str, answer: str | None) -> None:
        fresh = {"text": text, "answer": answer, "anchor": 0, "positive": 0, "negative": 0}
        if role != "negative" and text in own:
            fresh["own"] = True
        told.setdefault((text, answer, role == "negative"), fresh)[role] += 1

    for triplet in triplets:
        add("anchor", triplet.anchor, None)
        if triplet.variant is not None:
            told[triplet.anchor, None, False]["asked"] = triplet.variant.text
    for triplet in triplets:
        if triplet.positive is not None:
            add("positive", triplet.positive, None)
        if triplet.negative is not None:
            add("negative", triplet.negative.rationale, triplet.negative.answer)
    return list(told.values())
